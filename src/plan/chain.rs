//! Checkpoints of a chain: which states and whole units are kept, so that units are run backward with few forward runs
//! and little memory.
//!
//! A chain of `n` units runs forward; then each unit runs backward, the last one first, and needs the values of its own
//! forward run. Memory is counted in states. The start of the chain counts as one, and the values of the unit that runs
//! backward count nothing. Sources: A. Griewank and A. Walther, Algorithm 799 (revolve), ACM TOMS 26(1), 2000, for states alone;
//! A. Gruslys and others, Memory-efficient backpropagation through time, NIPS 2016, section 3.3, for states and units.

/// The state from which a unit starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The start of the chain.
    Start,
    /// The end of the unit that ran before.
    Last,
    Slot(usize),
}

/// A run of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The values of the unit remain in a window, and the state after it in a slot, if given.
    Forward {
        unit: usize,
        from: Source,
        window: usize,
        save: Option<usize>,
    },
    Backward {
        unit: usize,
        window: usize,
    },
}

/// The actions of a schedule, with the number of slots and of windows that they use.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pub(super) actions: Vec<Action>,
    pub(super) slots: usize,
    pub(super) windows: usize,
}

/// The next checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Split {
    /// The state after this number of units.
    State(usize),
    /// The last of this number of units, with the state after it.
    Unit(usize),
    /// None: each unit runs from the start.
    None,
}

/// The binomial coefficient of `s + r` over `s`: the length of the longest chain that needs `s` states if no unit runs
/// forward more than `r` times before its last run. It saturates.
fn longest(s: usize, r: usize) -> u64 {
    let (few, all) = (s.min(r) as u128, (s + r) as u128);
    let mut product: u128 = 1;
    for i in 1..=few {
        product = product * (all - few + i) / i;
        if product > u128::from(u64::MAX) {
            return u64::MAX;
        }
    }
    u64::try_from(product).unwrap_or(u64::MAX)
}

/// The least `r` with `n` at most [`longest`] of `s` and `r`.
fn repetitions(n: usize, s: usize) -> usize {
    if s == 1 {
        return n.saturating_sub(1);
    }
    let mut r = 0;
    while longest(s, r) < n as u64 {
        r += 1;
    }
    r
}

/// The number of forward runs of `n` units with at most `s` states, and no units, kept at any time.
pub(super) fn least_runs(n: usize, s: usize) -> u64 {
    let r = repetitions(n, s);
    let saved = if r == 0 { 0 } else { longest(s + 1, r - 1) };
    (n as u64) * (r as u64 + 1) - saved
}

/// The number of units to the next state that is kept, of `n` with `s` states: revolve, page 34.
fn to_next_state(n: usize, s: usize) -> usize {
    let r = repetitions(n, s);
    let of = |s: usize, r: usize| usize::try_from(longest(s, r)).unwrap_or(usize::MAX);
    if r < 2 || s < 2 {
        return if s < 2 { n - 1 } else { 1 };
    }
    let [a, b, c] = [of(s, r - 1), of(s - 1, r - 1), of(s - 2, r - 1)];
    let units = if n <= a.saturating_add(c) {
        of(s, r - 2)
    } else if n < a.saturating_add(b).saturating_add(c) {
        n - b - c
    } else {
        a
    };
    units.clamp(1, n - 1)
}

/// The best splits for all chains up to a length and all memories up to a number of states, by dynamic programming.
#[derive(Debug)]
pub(super) struct Mixed {
    memory: usize,
    unit: usize,
    /// For each length and memory: the number of forward runs, and the units to the next checkpoint: above zero for a
    /// state, below for a unit.
    best: Vec<(u32, i32)>,
}

impl Mixed {
    /// A unit takes as much memory as `unit` states.
    pub(super) fn new(n: usize, memory: usize, unit: usize) -> Self {
        let mut this = Self {
            memory,
            unit,
            best: Vec::with_capacity((n + 1) * (memory + 1)),
        };
        for n in 0..=n {
            for memory in 0..=memory {
                let best = this.choose(n, memory);
                this.best.push(best);
            }
        }
        this
    }

    fn at(&self, n: usize, memory: usize) -> (u32, i32) {
        self.best[n * (self.memory + 1) + memory]
    }

    fn choose(&self, n: usize, memory: usize) -> (u32, i32) {
        let runs = |n: usize, memory: usize| self.at(n, memory).0;
        let count = u32::try_from(n).unwrap_or(u32::MAX);
        let mut best = (count.saturating_mul(count.saturating_add(1)) / 2, 0);
        for (y, units) in (1..n).zip(1u32..) {
            let split = i32::try_from(units).unwrap_or(0);
            if memory >= 2 {
                let cost = units + runs(y, memory) + runs(n - y, memory - 1);
                if cost < best.0 {
                    best = (cost, split);
                }
            }
            if memory > self.unit {
                let cost = units + runs(y - 1, memory) + runs(n - y, memory - self.unit);
                if cost < best.0 {
                    best = (cost, -split);
                }
            }
        }
        best
    }

    /// The number of forward runs of `n` units in this memory.
    pub(super) fn runs(&self, n: usize, memory: usize) -> u64 {
        u64::from(self.at(n, memory).0)
    }

    /// The schedule of `n` units in this memory.
    pub(super) fn schedule(&self, n: usize, memory: usize) -> Schedule {
        let split = |n: usize, memory: usize| {
            let units = self.at(n, memory).1;
            let count = usize::try_from(units.unsigned_abs()).unwrap_or(0);
            match units.signum() {
                1 => Split::State(count),
                0 => Split::None,
                _ => Split::Unit(count),
            }
        };
        schedule(n, memory, self.unit, &split)
    }
}

/// The schedule of `n` units with at most `s` states.
pub(super) fn revolve(n: usize, s: usize) -> Schedule {
    let split = |n: usize, s: usize| match s {
        0 | 1 => Split::None,
        _ => Split::State(to_next_state(n, s)),
    };
    schedule(n, s, usize::MAX, &split)
}

/// The work that is left.
enum Task {
    Solve {
        first: usize,
        end: usize,
        memory: usize,
        from: Source,
    },
    FreeSlot(usize),
    /// Runs a kept unit backward.
    Backward {
        unit: usize,
        window: usize,
    },
}

/// Numbers that are in use or free.
#[derive(Default)]
struct Numbers {
    free: Vec<usize>,
    count: usize,
}

impl Numbers {
    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        })
    }
}

fn schedule(
    n: usize,
    memory: usize,
    unit: usize,
    split: &dyn Fn(usize, usize) -> Split,
) -> Schedule {
    let (mut actions, mut slots, mut windows) =
        (Vec::new(), Numbers::default(), Numbers::default());
    // The window of units that are not kept.
    let working = windows.take();
    let mut todo = vec![Task::Solve {
        first: 0,
        end: n,
        memory,
        from: Source::Start,
    }];
    let advance = |actions: &mut Vec<Action>, units: std::ops::Range<usize>, from: Source| {
        for (i, unit) in units.enumerate() {
            actions.push(Action::Forward {
                unit,
                from: if i == 0 { from } else { Source::Last },
                window: working,
                save: None,
            });
        }
    };
    while let Some(task) = todo.pop() {
        let (first, end, memory, from) = match task {
            Task::Solve {
                first,
                end,
                memory,
                from,
            } => (first, end, memory, from),
            Task::FreeSlot(slot) => {
                slots.free.push(slot);
                continue;
            }
            Task::Backward { unit, window } => {
                actions.push(Action::Backward { unit, window });
                if window != working {
                    windows.free.push(window);
                }
                continue;
            }
        };
        if first == end {
            continue;
        }
        let choice = match end - first {
            1 => Split::None,
            n => split(n, memory),
        };
        let (Split::State(units) | Split::Unit(units)) = choice else {
            for unit in (first..end).rev() {
                advance(&mut actions, first..unit + 1, from);
                actions.push(Action::Backward {
                    unit,
                    window: working,
                });
            }
            continue;
        };
        let (is_unit, middle) = (matches!(choice, Split::Unit(_)), first + units);
        advance(&mut actions, first..middle - 1, from);
        let slot = slots.take();
        let window = if is_unit { windows.take() } else { working };
        actions.push(Action::Forward {
            unit: middle - 1,
            from: if units == 1 { from } else { Source::Last },
            window,
            save: Some(slot),
        });
        // In the order in which they are taken: the part behind, then the kept unit, then the part before.
        todo.push(Task::Solve {
            first,
            end: if is_unit { middle - 1 } else { middle },
            memory,
            from,
        });
        if is_unit {
            todo.push(Task::Backward {
                unit: middle - 1,
                window,
            });
        }
        todo.push(Task::FreeSlot(slot));
        todo.push(Task::Solve {
            first: middle,
            end,
            memory: memory - if is_unit { unit } else { 1 },
            from: Source::Slot(slot),
        });
    }
    Schedule {
        actions,
        slots: slots.count,
        windows: windows.count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Follows a schedule: each unit starts at its state and runs backward once, in order, from the values of its own
    /// forward run. Returns the number of forward runs, of jumps to an earlier state, and the most memory at any time, in
    /// states.
    fn follow(n: usize, of_unit: usize, schedule: &Schedule) -> (u64, usize, usize) {
        let (mut runs, mut jumps, mut at) = (0, 0, 0);
        let mut slots: HashMap<usize, usize> = HashMap::new();
        let mut windows: HashMap<usize, usize> = HashMap::new();
        let mut left = n;
        let mut most = 1;
        for action in &schedule.actions {
            match *action {
                Action::Forward {
                    unit,
                    from,
                    window,
                    save,
                } => {
                    let state = match from {
                        Source::Start => 0,
                        Source::Last => at,
                        Source::Slot(slot) => slots[&slot],
                    };
                    assert_eq!(state, unit, "a unit starts at its own state");
                    jumps += usize::from(at != unit);
                    runs += 1;
                    at = unit + 1;
                    windows.insert(window, unit);
                    if let Some(slot) = save {
                        slots.insert(slot, at);
                    }
                    // States and units behind those that are left are no longer kept. The start is a state as
                    // well, and a kept unit has the state after it.
                    let units = windows.iter().filter(|(w, u)| **w > 0 && **u < left);
                    let units: Vec<usize> = units.map(|(_, unit)| *unit).collect();
                    let is_kept = |s: &&usize| **s < left && !units.contains(&(**s - 1));
                    let states = slots.values().filter(is_kept).count();
                    most = most.max(1 + states + units.len() * of_unit);
                }
                Action::Backward { unit, window } => {
                    assert_eq!((windows[&window], unit + 1), (unit, left));
                    left -= 1;
                }
            }
        }
        assert_eq!(left, 0);
        (runs, jumps, most)
    }

    /// The best number of forward runs by the recursion of Griewank and Walther.
    fn recursion(most: usize, states: usize) -> Vec<Vec<u64>> {
        let mut best = vec![vec![0; states + 1]; most + 1];
        for n in 1..=most {
            for s in 1..=states {
                let splits = (1..n).map(|y| match s {
                    1 => u64::MAX,
                    _ => y as u64 + best[y][s] + best[n - y][s - 1],
                });
                let alone = (n * (n + 1) / 2) as u64;
                best[n][s] = splits.chain([alone]).min().unwrap();
            }
        }
        best
    }

    #[test]
    fn states_alone_take_the_least_number_of_runs() {
        let best = recursion(100, 20);
        for (n, row) in best.iter().enumerate().skip(1) {
            for (s, runs) in row.iter().enumerate().skip(1) {
                assert_eq!(least_runs(n, s), *runs, "{n} units, {s} states");
                let (found, jumps, memory) = follow(n, 0, &revolve(n, s));
                assert_eq!((found, jumps), (*runs, n - 1), "{n} units, {s} states");
                assert!(memory <= s, "{n} units, {s} states: {memory}");
                assert!(revolve(n, s).slots < s);
            }
        }
    }

    /// Published numbers of forward runs (Griewank and Walther 2000; checked against their program).
    #[test]
    fn long_chains_take_the_published_number_of_runs() {
        let table = [
            (50, [1275, 335, 230, 172, 138, 128, 99]),
            (100, [5050, 945, 590, 416, 322, 278, 248]),
            (1000, [500_500, 29_820, 13_155, 7_284, 4_636, 3_747, 2_948]),
            (
                10_000,
                [
                    50_005_000, 942_820, 288_730, 122_868, 67_624, 47_976, 38_622,
                ],
            ),
        ];
        for (n, row) in table {
            for (s, runs) in [1, 2, 3, 5, 10, 20, 50].into_iter().zip(row) {
                assert_eq!(least_runs(n, s), runs, "{n} units, {s} states");
                if runs < 1_000_000 {
                    assert_eq!(follow(n, 0, &revolve(n, s)).0, runs);
                }
            }
        }
    }

    /// Numbers of the recursion of Gruslys and others, for units of 1, 3 and 5 states.
    #[test]
    fn states_and_units_take_the_least_number_of_runs() {
        let text = include_str!("../../tests/data/mixed_checkpoints.csv");
        let rows = text.lines().skip(1).map(|line| {
            let numbers: Vec<u64> = line.split(',').map(|n| n.parse().unwrap()).collect();
            <[u64; 4]>::try_from(numbers).unwrap()
        });
        let rows: Vec<[u64; 4]> = rows.collect();
        assert_eq!(rows.len(), 360);
        for n in [10, 50, 100, 500, 1000] {
            for unit in [1, 2, 3, 4, 5, 7, 10] {
                let rows = rows.iter().filter(|r| (r[0], r[2]) == (n, unit));
                let most = rows.clone().map(|r| r[1]).max().unwrap();
                // The longest chains would take minutes in a debug build.
                if n > 100 && (cfg!(debug_assertions) || cfg!(miri)) {
                    continue;
                }
                let [n, unit, most] = [n, unit, most].map(|x| usize::try_from(x).unwrap());
                let best = Mixed::new(n, most, unit);
                for row in rows {
                    let (memory, runs) = (usize::try_from(row[1]).unwrap(), row[3]);
                    assert_eq!(best.runs(n, memory), runs, "{n} units, memory {memory}");
                    let (found, _, kept) = follow(n, unit, &best.schedule(n, memory));
                    assert_eq!(found, runs, "{n} units, memory {memory}");
                    assert!(kept <= memory, "{n} units, memory {memory}: {kept}");
                }
            }
        }
    }

    #[test]
    fn units_alone_follow_the_closed_form() {
        // With units of one state, a chain of n units takes as many runs as the advances of n + 1.
        for n in 1..=60 {
            for memory in 1..=12 {
                let advances = least_runs(n + 1, memory) - (n as u64 + 1);
                assert_eq!(Mixed::new(n, memory, 1).runs(n, memory), advances);
            }
        }
    }
}
