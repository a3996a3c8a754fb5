//! How much ground a machine works.

/// Area worked an hour, ha/h: `C = S W e / 10` of speed in km/h, width in m and field efficiency, the
/// share of time and width that is not lost to turns, overlap and stops (ASABE EP496).
#[must_use]
pub fn field_capacity_ha_per_h(speed_m_per_s: f32, width_m: f32, efficiency: f32) -> f32 {
    const HA_PER_H_OF_M2_PER_S: f32 = 3_600.0 / 10_000.0;
    speed_m_per_s * width_m * efficiency * HA_PER_H_OF_M2_PER_S
}
