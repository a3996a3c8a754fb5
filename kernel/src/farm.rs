//! The built-in farms: classes of machines, geometry and parameters, made from a configuration.

use crate::config::{
    ConfigError, MAX_CHECKPOINT_BYTES, MIN_PARTITION_ROWS, Scenario, SimulationConfig,
};
use crate::laws::battery::{BatteryParams, Ocv};
use crate::laws::power::{Draft, GRAVITY_M_PER_S2, GroundParams, WheelGround, motion_resistance};
use crate::layout::{Layout, units};
use crate::partition;

/// Farthest a machine may move in one tick: well inside the sensing radius, so that no two machines
/// meet between two looks.
pub const MAX_STEP_M: f32 = 1.0;
/// Radius within which a ground machine senses others, m. (assumed)
pub const SENSING_RADIUS_M: f32 = 8.0;
/// How far ahead closest approaches are predicted, s. (assumed)
pub const HORIZON_S: f32 = 4.0;
/// Room kept between two bodies, m. (assumed)
pub const MARGIN_M: f32 = 0.3;

/// What all machines of one kind share.
#[derive(Clone, Debug)]
pub struct Class {
    /// Name in catalogues and errors.
    pub name: &'static str,
    /// Radius of the body as others see it, m.
    pub radius_m: f32,
    /// Speed along a swath, m/s.
    pub work_m_per_s: f32,
    /// Speed on headlands and aisles, m/s.
    pub travel_m_per_s: f32,
    /// Speed in a turn, m/s.
    pub turn_m_per_s: f32,
    /// Greatest acceleration, m/s^2.
    pub accel_m_per_s2: f32,
    /// Rate of turning on the spot, rad/s.
    pub spin_rad_per_s: f32,
    /// Least radius of a turn, m; 0 turns on the spot.
    pub turn_radius_m: f32,
    /// Look-ahead of the pure pursuit at rest, m.
    pub look_ahead_m: f32,
    /// Working width, m.
    pub width_m: f32,
    /// Force and power.
    pub ground: GroundParams,
    /// Battery.
    pub battery: BatteryParams,
    /// Mean time between failures, in operation, s.
    pub mtbf_s: u32,
    /// Mean time to repair, s.
    pub mttr_s: u32,
    /// Share of charge that is never planned with.
    pub reserve: f32,
    /// Charge used by a metre of travel, as a share of full; for planning the way to the charger.
    pub charge_per_m: f32,
}

/// A farm ready to be cut into partitions.
#[derive(Clone, Debug)]
pub struct Farm {
    /// The configuration it was made from.
    pub config: SimulationConfig,
    /// Classes, in the order of their rows in a partition.
    pub classes: Vec<Class>,
    /// Geometry of every site.
    pub layout: Layout,
    /// Sites.
    pub sites: u32,
    /// Machines of a site; the last may have fewer.
    pub machines_per_site: u32,
    /// Length of a tick, s.
    pub dt_s: f32,
    /// Charge of the emptiest machine at creation, as a share of full; others have up to all of it.
    pub least_first_charge: f32,
    /// Power of a charging slot, W.
    pub slot_power_w: f32,
    /// Brixius number of the soil, the same everywhere until soil is simulated.
    pub soil_bn: f32,
    /// Longest time a machine stands before an obstacle, s.
    pub stand_off_s: f32,
    /// Time after which a machine without work asks again, s.
    pub retry_s: f32,
    /// Time between a machine's reports of how far it is on its way, s.
    pub report_s: f32,
}

impl Farm {
    /// Makes the farm of a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] where a field is out of range, a site would be too large, or the tick is too long
    /// for a class.
    pub fn new(config: &SimulationConfig) -> Result<Farm, ConfigError> {
        let scenario = config.validate()?;
        let farm = Farm::of(scenario, config);
        if !farm.site_fits() {
            let fits = |entities| {
                let config = SimulationConfig {
                    entities,
                    ..config.clone()
                };
                Farm::of(scenario, &config).site_fits()
            };
            return Err(ConfigError::SiteTooLarge {
                entities: config.entities,
                max_entities: last_that(1, config.entities, fits),
            });
        }
        for class in &farm.classes {
            let v_max = class.v_max_m_per_s();
            if v_max * farm.dt_s > MAX_STEP_M {
                return Err(ConfigError::TickTooLong {
                    tick_ms: config.tick_ms,
                    class: class.name,
                    v_max_mm_per_s: (v_max * 1000.0) as u32,
                    max_tick_ms: (MAX_STEP_M / v_max * 1000.0) as u32,
                });
            }
        }
        Ok(farm)
    }

    fn of(scenario: Scenario, config: &SimulationConfig) -> Farm {
        match scenario {
            Scenario::Weeding => weeding(config),
            Scenario::Dense => dense(config),
        }
    }

    /// Whether positions reach over a site, and a checkpoint holds its state beside the fewest rows.
    fn site_fits(&self) -> bool {
        let bytes = partition::max_checkpoint_bytes(self, MIN_PARTITION_ROWS);
        self.layout.fits_positions() && bytes <= MAX_CHECKPOINT_BYTES
    }

    /// First machine of a site, as an id.
    #[must_use]
    pub fn first_entity(&self, site: u32) -> u32 {
        1 + site * self.machines_per_site
    }

    /// Machines of a site.
    #[must_use]
    pub fn machines_of(&self, site: u32) -> u32 {
        self.machines_per_site
            .min(self.config.entities - site * self.machines_per_site)
    }

    /// Class of a machine, by its index in its site.
    #[must_use]
    pub fn class_of(&self, machine: u32) -> u32 {
        if self.classes.len() > 1 && machine % 4 == 3 {
            1
        } else {
            0
        }
    }

    /// Ticks in a span of simulated time, at least 1.
    #[must_use]
    pub fn ticks(&self, seconds: f32) -> u32 {
        ((seconds / self.dt_s) as u32).max(1)
    }

    /// Greatest speed of any class, m/s.
    #[must_use]
    pub fn v_max_m_per_s(&self) -> f32 {
        let mut v_max = 0.0;
        for class in &self.classes {
            if class.v_max_m_per_s() > v_max {
                v_max = class.v_max_m_per_s();
            }
        }
        v_max
    }
}

/// The last number of `first..end` for which `holds`, which none does after one for which it does not;
/// `first` is taken to be one.
pub(crate) fn last_that(first: u32, end: u32, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut yes, mut no) = (first, end);
    while no - yes > 1 {
        let middle = yes + (no - yes) / 2;
        if holds(middle) {
            yes = middle;
        } else {
            no = middle;
        }
    }
    yes
}

impl Class {
    /// Greatest of the class's speeds, m/s.
    #[must_use]
    pub fn v_max_m_per_s(&self) -> f32 {
        let mut v_max = self.travel_m_per_s;
        for v in [self.work_m_per_s, self.turn_m_per_s] {
            if v > v_max {
                v_max = v;
            }
        }
        v_max
    }
}

/// A FarmDroid FD20: 900 kg, 3 m, 950 m/h, 1 kW from a power bank. Sources in docs/model.md.
#[must_use]
pub fn weeder() -> Class {
    Class {
        name: "weeder",
        radius_m: 1.25,
        work_m_per_s: 0.264,
        travel_m_per_s: 0.264,
        turn_m_per_s: 0.264,
        accel_m_per_s2: 0.3,
        spin_rad_per_s: 0.3,
        turn_radius_m: 0.0,
        look_ahead_m: 2.0,
        width_m: 3.0,
        ground: GroundParams {
            mass_kg: 900.0,
            wheels: WheelGround::BRIXIUS,
            draft: Draft {
                texture: 0.85,
                constant: 140.0,
                linear: 7.0,
                quadratic: 0.0,
                width: 3.0,
                depth_cm: 1.5,
            },
            eta: 0.75,
            eta_regen: 0.0,
            hotel_w: 100.0,
            tool_w: 0.0,
            p_max_w: 4_000.0,
        },
        battery: BatteryParams {
            ocv: Ocv::LFP,
            cells_series: 16,
            capacity_ah: 78.0,
            r_ohm: 0.03,
            v_min: 40.0,
            v_max: 57.6,
            charge_limit_a: 78.0,
            charge_efficiency: 0.995,
            taper_below: 0.15,
            empty_below: 0.02,
        },
        mtbf_s: 24 * 3600,
        mttr_s: 3600,
        reserve: 0.10,
        charge_per_m: 0.0,
    }
}

/// Fendt e100-like: 3.3 t, 100 kWh, 3.8 m turns. Sources in docs/model.md.
#[must_use]
pub fn tractor() -> Class {
    Class {
        name: "tractor",
        radius_m: 1.25,
        work_m_per_s: 1.67,
        travel_m_per_s: 1.67,
        turn_m_per_s: 1.0,
        accel_m_per_s2: 0.5,
        spin_rad_per_s: 0.5,
        turn_radius_m: 3.8,
        look_ahead_m: 2.0,
        width_m: 3.0,
        ground: GroundParams {
            mass_kg: 3_300.0,
            wheels: WheelGround::BRIXIUS,
            draft: Draft {
                texture: 0.85,
                constant: 140.0,
                linear: 7.0,
                quadratic: 0.0,
                width: 3.0,
                depth_cm: 8.0,
            },
            eta: 0.85,
            eta_regen: 0.5,
            hotel_w: 1_500.0,
            tool_w: 0.0,
            p_max_w: 50_000.0,
        },
        battery: BatteryParams {
            ocv: Ocv::NMC,
            // So many that the mean voltage of the curve is the published 650 V.
            cells_series: 175,
            capacity_ah: 154.0,
            r_ohm: 0.1,
            v_min: 490.0,
            v_max: 735.0,
            charge_limit_a: 154.0,
            charge_efficiency: 0.995,
            taper_below: 0.15,
            empty_below: 0.02,
        },
        mtbf_s: 100 * 3600,
        mttr_s: 4 * 3600,
        reserve: 0.10,
        charge_per_m: 0.0,
    }
}

/// Sets the planning figure from the class's own laws: what a metre of travel takes.
fn plan_energy(class: &mut Class) {
    let ground = &class.ground;
    let resistance = motion_resistance(&ground.wheels, PLANNED_SLIP, TILLED_BN);
    let rolling_j_per_m = ground.mass_kg * GRAVITY_M_PER_S2 * resistance;
    let hotel_j_per_m = ground.hotel_w / class.travel_m_per_s;
    let per_m = rolling_j_per_m / ((1.0 - PLANNED_SLIP) * ground.eta) + hotel_j_per_m;
    class.charge_per_m = per_m / energy_j(&class.battery);
}

/// Slip that the way to the charger is planned with. [assumed]
const PLANNED_SLIP: f32 = 0.1;

/// Energy of a full battery at its voltage half full, J.
fn energy_j(battery: &BatteryParams) -> f32 {
    battery.capacity_ah * 3600.0 * half_full_v(battery)
}

fn half_full_v(battery: &BatteryParams) -> f32 {
    let after = (battery.ocv.points.iter().position(|p| p.0 >= 0.5)).unwrap_or(0);
    battery.ocv.points[after].1 * battery.cells_series as f32
}

/// Brixius numbers of soils, ASABE D497.
const FIRM_BN: f32 = 55.0;
const TILLED_BN: f32 = 40.0;

/// 12 weeders on 12 fields of 20 ha of beet, 6 power banks of 1 kW.
fn weeding(config: &SimulationConfig) -> Farm {
    let mut class = weeder();
    plan_energy(&mut class);
    Farm {
        config: config.clone(),
        classes: vec![class],
        layout: Layout {
            columns: 3,
            field_rows: 4,
            fields: 12,
            swath_length: units(447.0),
            swath_pitch: units(3.0),
            swaths_per_field: 149,
            swaths_per_land: 16,
            swaths_per_segment: 16,
            headland: units(16.0),
            homes_per_field: 1,
            rows_per_station: 2,
            slots_per_station: 1,
            parks_per_station: 2,
        },
        sites: config.entities.div_ceil(12),
        machines_per_site: 12,
        dt_s: config.tick_ms as f32 / 1000.0,
        least_first_charge: 0.5,
        slot_power_w: 1000.0,
        soil_bn: TILLED_BN,
        stand_off_s: 60.0,
        retry_s: 10.0,
        report_s: 30.0,
    }
}

/// Machines of a dense field.
const DENSE_PER_FIELD: u32 = 5;
/// Machines that share a charger in a dense farm.
const DENSE_PER_CHARGER: u32 = 20;

/// One crowded site of weeders and tractors, quickened so that all that can happen does within minutes.
fn dense(config: &SimulationConfig) -> Farm {
    let fields = config.entities.div_ceil(DENSE_PER_FIELD);
    // A field with its yard is about twice as wide as a row of fields is high; the site is about square.
    let mut columns = 1;
    while columns * columns * 2 < fields {
        columns += 1;
    }
    let classes = vec![dense_weeder(), dense_tractor()];
    Farm {
        config: config.clone(),
        classes,
        layout: Layout {
            columns,
            field_rows: fields.div_ceil(columns),
            fields,
            swath_length: units(33.0),
            swath_pitch: units(3.0),
            swaths_per_field: 40,
            swaths_per_land: 4,
            swaths_per_segment: 4,
            headland: units(16.0),
            homes_per_field: DENSE_PER_FIELD,
            rows_per_station: DENSE_PER_CHARGER / DENSE_PER_FIELD,
            slots_per_station: 1,
            parks_per_station: 5,
        },
        sites: 1,
        machines_per_site: config.entities,
        dt_s: config.tick_ms as f32 / 1000.0,
        least_first_charge: 0.15,
        slot_power_w: 800_000.0,
        soil_bn: FIRM_BN,
        stand_off_s: 5.0,
        retry_s: 2.0,
        report_s: 1.0,
    }
}

/// A weeder that is fast, and whose battery is empty and full again within minutes.
fn dense_weeder() -> Class {
    let mut class = Class {
        work_m_per_s: 1.2,
        travel_m_per_s: 3.5,
        turn_m_per_s: 1.2,
        accel_m_per_s2: 2.0,
        spin_rad_per_s: 3.0,
        ..weeder()
    };
    class.battery.capacity_ah = 4_000_000.0 / 3600.0 / half_full_v(&class.battery);
    class.battery.charge_limit_a = 16_000.0;
    class.battery.r_ohm = 0.001;
    // Enough to accelerate at travel speed: a drive at its limit slows down.
    class.ground.p_max_w = 20_000.0;
    quicken(class)
}

/// A tractor likewise.
fn dense_tractor() -> Class {
    let mut class = Class {
        travel_m_per_s: 3.5,
        turn_m_per_s: 2.0,
        accel_m_per_s2: 2.0,
        spin_rad_per_s: 3.0,
        ..tractor()
    };
    class.battery.capacity_ah = 20_000_000.0 / 3600.0 / half_full_v(&class.battery);
    class.battery.charge_limit_a = 4_000.0;
    class.battery.r_ohm = 0.01;
    quicken(class)
}

/// Frequent faults, short repairs, and a reserve for a way at a walk.
fn quicken(mut class: Class) -> Class {
    class.mtbf_s = 150;
    class.mttr_s = 4;
    class.reserve = 0.2;
    plan_energy(&mut class);
    class
}
