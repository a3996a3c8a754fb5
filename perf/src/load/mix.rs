//! Which routes are called how often, and with what. The order follows from the seed.

use std::fmt;

use fastrand::Rng;
use serde_json::json;

use crate::load::gateway::Call;
use crate::load::target::Target;

/// Ticks that a read of the past goes back.
const PAST_TICKS: u64 = 500;
/// Items of a page.
const PAGE: u32 = 100;
/// Every so many commands one is sent again with the same key.
const REPEAT_EVERY: u64 = 10;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Route {
    /// `GET /v1/simulations`
    Simulations,
    /// `GET /v1/simulations/{id}`
    Simulation,
    /// `GET /v1/simulations/{id}/entities`
    Entities,
    /// `GET /v1/simulations/{id}/entities/{entity}`
    Entity,
    /// `GET /v1/simulations/{id}/world`
    World,
    /// `GET /v1/simulations/{id}/metrics`
    Metrics,
    /// `GET /v1/simulations/{id}/events`
    Events,
    /// `GET /v1/simulations/{id}/digests`
    Digests,
    /// `GET /v1/simulations/{id}/latency`
    Latency,
    /// `GET /v1/workers`
    Workers,
    /// `POST /v1/simulations/{id}/commands`, with an idempotency key.
    Commands,
}

impl Route {
    /// All of them.
    pub(crate) const ALL: [Route; 11] = [
        Route::Simulations,
        Route::Simulation,
        Route::Entities,
        Route::Entity,
        Route::World,
        Route::Metrics,
        Route::Events,
        Route::Digests,
        Route::Latency,
        Route::Workers,
        Route::Commands,
    ];

    /// As flags and reports spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Route::Simulations => "simulations",
            Route::Simulation => "simulation",
            Route::Entities => "entities",
            Route::Entity => "entity",
            Route::World => "world",
            Route::Metrics => "metrics",
            Route::Events => "events",
            Route::Digests => "digests",
            Route::Latency => "latency",
            Route::Workers => "workers",
            Route::Commands => "commands",
        }
    }

    fn from_name(name: &str) -> Option<Route> {
        Route::ALL.into_iter().find(|route| route.name() == name)
    }
}

/// Weights of routes; one of weight 0 is never called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mix([u32; Route::ALL.len()]);

impl Default for Mix {
    /// Mostly what a dashboard asks for, and one command in five.
    fn default() -> Mix {
        Mix([5, 25, 10, 15, 2, 8, 8, 4, 2, 1, 20])
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weighted = Route::ALL
            .iter()
            .zip(self.0)
            .filter(|(_, weight)| *weight > 0);
        for (n, (route, weight)) in weighted.enumerate() {
            let separator = if n == 0 { "" } else { "," };
            write!(f, "{separator}{}={weight}", route.name())?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        const MAX_WEIGHT: u32 = 1_000_000;
        let mut mix = Mix([0; Route::ALL.len()]);
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').ok_or("want ROUTE=WEIGHT")?;
            let names = || Route::ALL.map(Route::name).join(", ");
            let route = Route::from_name(name)
                .ok_or_else(|| format!("{name} is no route; there are {}", names()))?;
            let weight: u32 = weight.parse().map_err(|_| "the weight is no number")?;
            if weight > MAX_WEIGHT {
                return Err(format!("want a weight of at most {MAX_WEIGHT}"));
            }
            mix.0[route as usize] = weight;
        }
        match mix.0.iter().any(|weight| *weight > 0) {
            true => Ok(mix),
            false => Err("every weight is 0".to_owned()),
        }
    }
}

impl Mix {
    fn pick(&self, rng: &mut Rng) -> Route {
        let mut at = rng.u32(0..self.0.iter().sum());
        for (route, weight) in Route::ALL.into_iter().zip(self.0) {
            if at < weight {
                return route;
            }
            at -= weight;
        }
        unreachable!("the number is below the sum")
    }
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// Its kind.
    pub(crate) route: Route,
    /// Index of the simulation it is for.
    pub(crate) target: usize,
    /// What is sent.
    pub(crate) call: Call,
    /// It is sent twice, and has to be answered alike.
    pub(crate) repeat: bool,
}

/// The requests of a run, one after the other.
pub(crate) struct Requests {
    mix: Mix,
    rng: Rng,
    /// Tells the keys of this run from those of any other.
    run: u64,
    commands: u64,
}

impl Requests {
    /// Requests whose order follows from the seed; `run` is part of every idempotency key.
    pub(crate) fn new(mix: Mix, seed: u64, run: u64) -> Requests {
        Requests {
            mix,
            rng: Rng::with_seed(seed),
            run,
            commands: 0,
        }
    }

    /// The next one.
    pub(crate) fn next(&mut self, targets: &[Target]) -> Planned {
        let route = self.mix.pick(&mut self.rng);
        let index = self.rng.usize(0..targets.len());
        let target = &targets[index];
        let at = format!("/v1/simulations/{}", target.id);
        let from_tick = target.newest_tick().saturating_sub(PAST_TICKS);
        let entity = self.rng.u64(1..=target.entities);
        let call = match route {
            Route::Simulations => Call::get(format!("/v1/simulations?limit={PAGE}")),
            Route::Simulation => Call::get(at),
            Route::Entities => Call::get(format!("{at}/entities?limit={PAGE}")),
            Route::Entity => Call::get(format!("{at}/entities/{entity}")),
            Route::World => Call::get(format!("{at}/world")),
            Route::Metrics => Call::get(format!("{at}/metrics?from_tick={from_tick}&limit={PAGE}")),
            Route::Events => Call::get(format!("{at}/events?from_tick={from_tick}&limit={PAGE}")),
            Route::Digests => Call::get(format!("{at}/digests?from_tick={from_tick}&limit={PAGE}")),
            Route::Latency => Call::get(format!("{at}/latency")),
            Route::Workers => Call::get("/v1/workers".to_owned()),
            Route::Commands => self.command(&at, entity),
        };
        let is_command = route == Route::Commands;
        Planned {
            route,
            target: index,
            call,
            repeat: is_command && self.commands.is_multiple_of(REPEAT_EVERY),
        }
    }

    /// Commands that leave the farm working: every second one undoes what machines were told before.
    fn command(&mut self, at: &str, entity: u64) -> Call {
        self.commands += 1;
        let body = if self.commands.is_multiple_of(2) {
            json!({"entity": entity, "command": "release"})
        } else if self.commands.is_multiple_of(3) {
            json!({"entity": entity, "command": "hold"})
        } else {
            json!({"entity": entity, "command": "set_speed_limit", "args": {"m_per_s": 2.0}})
        };
        let key = format!("perf-{:016x}-{}", self.run, self.commands);
        Call::post(format!("{at}/commands"), body.to_string(), key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::api::Resource;
    use std::collections::BTreeSet;

    #[test]
    fn a_mix_is_read_as_it_is_written() {
        let mix = Mix::default();
        assert_eq!(mix.to_string().parse(), Ok(mix));
        let one: Mix = "commands=3".parse().unwrap();
        assert_eq!(one.to_string(), "commands=3");
        for wrong in ["", "commands", "nothing=1", "commands=x", "commands=0"] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_route_comes_by_its_weight_and_keys_never_twice() {
        let targets = [Target::new(&Resource::of("s", 5))];
        let mut requests = Requests::new(Mix::default(), 1, 7);
        let planned: Vec<_> = (0..10_000).map(|_| requests.next(&targets)).collect();
        for (route, weight) in Route::ALL.into_iter().zip(Mix::default().0) {
            let share = planned.iter().filter(|p| p.route == route).count() as f64 / 100.0;
            let wanted = f64::from(weight);
            assert!(
                (share - wanted).abs() < 0.2 * wanted + 0.5,
                "{route:?} {share} %"
            );
        }
        let keys: Vec<_> = (planned.iter())
            .filter_map(|p| p.call.idempotency_key.clone())
            .collect();
        assert!(keys.len() > 1_500);
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
        assert!(planned.iter().any(|p| p.repeat));
    }

    #[test]
    fn one_seed_gives_one_order() {
        let targets = [Target::new(&Resource::of("s", 5))];
        let order = |seed| {
            let mut requests = Requests::new(Mix::default(), seed, 7);
            let paths = (0..50).map(|_| requests.next(&targets).call.path);
            paths.collect::<Vec<_>>()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }
}
