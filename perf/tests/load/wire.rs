//! The stream's messages, written as docs/stream.md lays them out.

use kernel::aggregate::Aggregate;
use serde_json::{Value, json};

use crate::fake::ENTITIES;

const TICK_HEAD_BYTES: u16 = 56 + 36 * 8;

/// What a tick says.
pub(crate) struct Told {
    pub(crate) epoch: u32,
    pub(crate) tick: u64,
    pub(crate) started_at_us: u64,
    pub(crate) sent_at_us: u64,
    pub(crate) entities_total: u32,
    pub(crate) sums: Aggregate,
    /// Machines, each 1 m further east; in binary their records are those of the same places.
    pub(crate) ids: Vec<u32>,
}

impl Told {
    /// As text.
    pub(crate) fn json(&self) -> String {
        let machine = |(place, id): (usize, &u32)| {
            json!({"id": id, "x": place as f64, "y": 0.0, "heading": 0.0, "speed": 0.0,
                "battery": 95.0, "state": "working"})
        };
        let machines: Vec<Value> = self.ids.iter().enumerate().map(machine).collect();
        let sums = &self.sums;
        let sums = json!({
            "machines": sums.rows, "by_state": {"working": sums.by_state[2]},
            "by_charge": sums.by_charge, "battery_mean_percent": 95.0, "speed_mean_m_per_s": 0.0,
            "charge_sum": sums.charge_sum, "speed_sum_mm_per_s": sums.speed_sum_mm_per_s,
            "counters": {},
        });
        json!({
            "type": "tick", "simulation_id": "s-1", "tick": self.tick, "epoch": self.epoch,
            "sim_time_s": self.tick as f64 * 0.02, "started_at_us": self.started_at_us,
            "sent_at_us": self.sent_at_us, "aggregates": sums,
            "entities_total": self.entities_total, "entities": machines,
        })
        .to_string()
    }

    /// As bytes: one block of all machines. It has no ids of its own, so one that is there twice is one
    /// record too many here.
    pub(crate) fn binary(&self) -> Vec<u8> {
        let twice = self.ids.windows(2).any(|pair| pair[0] == pair[1]);
        let records = self.ids.len() as u32 + u32::from(twice);
        let mut out = vec![2, 1];
        out.extend_from_slice(&TICK_HEAD_BYTES.to_le_bytes());
        put(&mut out, &[1]);
        out.extend_from_slice(&self.tick.to_le_bytes());
        out.extend_from_slice(&(self.tick as f64 * 0.02).to_le_bytes());
        out.extend_from_slice(&self.sent_at_us.to_le_bytes());
        out.extend_from_slice(&self.started_at_us.to_le_bytes());
        put(&mut out, &[self.epoch, self.entities_total, records, 36]);
        let sums = &self.sums;
        let totals = [
            sums.rows,
            sums.charge_sum as u64,
            sums.speed_sum_mm_per_s as u64,
        ];
        let counters = [0_u64; 13];
        let all = totals
            .iter()
            .chain(&sums.by_state)
            .chain(&sums.by_charge)
            .chain(&counters);
        for sum in all {
            out.extend_from_slice(&sum.to_le_bytes());
        }
        assert_eq!(out.len(), usize::from(TICK_HEAD_BYTES));
        put(&mut out, &[0, records, 0, 0, 3 << 16, 1 << 16]);
        for _ in 0..records {
            out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 242, 2]);
        }
        out
    }
}

/// Whose the records are: one block of one site.
pub(crate) fn ids() -> Vec<u8> {
    let mut out = vec![1, 1, 64, 0];
    put(&mut out, &[1]);
    out.extend_from_slice(&[0; 16]);
    put(&mut out, &[ENTITIES, 1]);
    out.extend_from_slice(&[0; 32]);
    put(&mut out, &[0, ENTITIES, 0, 0]);
    out.extend_from_slice(&[0; 16]);
    let ids: Vec<u32> = (1..=ENTITIES).collect();
    put(&mut out, &ids);
    out
}

fn put(out: &mut Vec<u8>, numbers: &[u32]) {
    for n in numbers {
        out.extend_from_slice(&n.to_le_bytes());
    }
}
