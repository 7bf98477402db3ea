//! The goals: what a figure of Daypass must be, and what it should become.
//!
//! One table; reports and documents take theirs from here. What this command does not measure has
//! no goal here (see `docs/performance.md`).

use super::proxy::Proxy;

/// What of two proxies is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// CPU time per request.
    Cpu,
    P50,
    P99,
}

/// An upper bound of the ratio of two proxies in a scenario, both taken in the same round.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) scenario: &'static str,
    pub(crate) figure: Figure,
    pub(crate) of: Proxy,
    pub(crate) over: Proxy,
    pub(crate) bound: Bound,
}

/// Where a figure must be, if it must, and where it should be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) must: Option<f64>,
    pub(crate) goal: f64,
}

impl Bound {
    /// How a figure stands to it.
    pub(crate) fn verdict(self, figure: f64) -> &'static str {
        match (self.must, figure <= self.goal) {
            (_, true) => "met, and the goal",
            (Some(must), _) if figure > must => "**missed**",
            (Some(_), _) => "met",
            (None, _) => "goal not reached",
        }
    }
}

pub(crate) const GOALS: [Goal; 13] = [
    cpu("h1-64", Proxy::Write, Proxy::Nginx, Some(1.00), 0.85),
    cpu("h1-64", Proxy::Fsync, Proxy::Nginx, Some(1.25), 1.10),
    cpu("h1-64", Proxy::Write, Proxy::NginxChecks, Some(0.75), 0.65),
    cpu("h1-64", Proxy::Write, Proxy::HaproxyChecks, Some(0.65), 0.55),
    cpu("h1-256", Proxy::Write, Proxy::Nginx, Some(1.00), 0.85),
    cpu("h1-256", Proxy::Fsync, Proxy::Nginx, Some(0.95), 0.80),
    cpu("h1-256", Proxy::Write, Proxy::NginxChecks, Some(0.75), 0.65),
    cpu("h1-256", Proxy::Write, Proxy::HaproxyChecks, Some(0.65), 0.55),
    cpu("rate", Proxy::Write, Proxy::Nginx, Some(1.10), 1.00),
    latency(Figure::P50),
    latency(Figure::P99),
    cpu("h2", Proxy::Write, Proxy::Nginx, Some(0.95), 0.80),
    cpu("h2", Proxy::Write, Proxy::Haproxy, None, 1.20),
];

/// Resident memory of Daypass after its start, in MiB.
pub(crate) const START_MIB: Bound = Bound { must: Some(30.0), goal: 15.0 };

/// The same with 10,000 idle connections in the clear.
pub(crate) const IDLE_MIB: Bound = Bound { must: Some(150.0), goal: 80.0 };

/// The same over TLS; the goal is in proportion.
pub(crate) const IDLE_TLS_MIB: Bound = Bound { must: Some(450.0), goal: 240.0 };

const fn cpu(scenario: &'static str, of: Proxy, over: Proxy, must: Option<f64>, goal: f64) -> Goal {
    Goal { scenario, figure: Figure::Cpu, of, over, bound: Bound { must, goal } }
}

const fn latency(figure: Figure) -> Goal {
    let bound = Bound { must: Some(1.20), goal: 1.00 };
    Goal { scenario: "rate", figure, of: Proxy::Write, over: Proxy::Nginx, bound }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::SCENARIOS;
    use super::*;

    #[test]
    fn every_goal_can_be_measured_and_wants_more_than_it_must() {
        for goal in &GOALS {
            let scenario = SCENARIOS.iter().find(|scenario| scenario.name == goal.scenario).unwrap();
            assert!(scenario.proxies.contains(&goal.of) && scenario.proxies.contains(&goal.over), "{goal:?}");
            assert!(goal.bound.must.is_none_or(|must| goal.bound.goal < must), "{goal:?}");
        }
    }

    #[test]
    fn a_figure_on_the_bound_meets_it() {
        let bound = Bound { must: Some(1.0), goal: 0.8 };
        let verdicts = [0.8, 0.81, 1.0, 1.01].map(|figure| bound.verdict(figure));
        assert_eq!(verdicts, ["met, and the goal", "met", "met", "**missed**"]);
        let soft = Bound { must: None, goal: 1.2 };
        assert_eq!([1.2, 1.3].map(|figure| soft.verdict(figure)), ["met, and the goal", "goal not reached"]);
    }
}
