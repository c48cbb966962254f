//! Rows: the values that share a buffer, side by side.

use std::collections::{HashMap, HashSet};

use super::graph::Id;
use super::storage::Storage;

/// Adjacent values.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) members: Vec<Id>,
    /// True if the order is free, because the row serves a single group.
    free: bool,
}

/// The rows under construction.
#[derive(Default)]
pub(super) struct Rows<'a> {
    storage: &'a [Option<Storage>],
    /// For a value without memory of its own, the value in whose memory it starts.
    in_place: HashMap<Id, Id>,
    /// The pass in which each value is computed.
    pass: Vec<Option<usize>>,
    /// True at each value that there are several of.
    laned: &'a [bool],
    pub(super) rows: Vec<Row>,
    row_of: HashMap<Id, usize>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(
        storage: &'a [Option<Storage>],
        in_place: HashMap<Id, Id>,
        (pass, laned): (Vec<Option<usize>>, &'a [bool]),
    ) -> Self {
        Self {
            storage,
            in_place,
            pass,
            laned,
            ..Self::default()
        }
    }

    /// The value with memory of its own in which this one starts.
    pub(super) fn root(&self, mut id: Id) -> Id {
        while let Some(init) = self.in_place.get(&id) {
            id = *init;
        }
        id
    }

    /// Makes a row of the parts of a concatenation, unless one of them is already in a row.
    pub(super) fn join(&mut self, whole: Id, parts: &[Id]) {
        if self.storage[whole].is_none() || parts.iter().any(|p| self.row_of.contains_key(p)) {
            return;
        }
        for part in parts {
            self.row_of.insert(*part, self.rows.len());
        }
        self.rows.push(Row {
            members: parts.to_vec(),
            free: false,
        });
        self.in_place.insert(whole, parts[0]);
    }

    /// The row, and the index in the row, of each value with memory of its own.
    pub(super) fn places(&self) -> HashMap<Id, (usize, usize)> {
        let rows = self.rows.iter().enumerate();
        let places = rows.flat_map(|(row, r)| {
            let members = r.members.iter().enumerate();
            members.map(move |(place, id)| (*id, (row, place)))
        });
        places.collect()
    }

    /// Makes the values of a group adjacent, as far as earlier groups allow.
    pub(super) fn request(&mut self, group: &[Id]) {
        let (mut members, mut known) = (Vec::new(), HashSet::new());
        for id in group.iter().map(|id| self.root(*id)) {
            if self.storage[id].is_some() && known.insert(id) {
                members.push(id);
            }
        }
        let Some(first) = members.first().copied() else {
            return;
        };
        let alike = |id: &Id| {
            self.pass[*id] == self.pass[first]
                && self.laned[*id] == self.laned[first]
                && self.storage[*id].map(steps) == self.storage[first].map(steps)
        };
        members.retain(alike);
        let (placed, new): (Vec<Id>, Vec<Id>) = members
            .iter()
            .copied()
            .partition(|id| self.row_of.contains_key(id));
        if new.is_empty() {
            return;
        }
        let rows: Vec<usize> = placed.iter().map(|id| self.row_of[id]).collect();
        if let [row, rest @ ..] = &rows[..]
            && rest.iter().all(|r| r == row)
            && self.extend(*row, &placed, &new)
        {
            return;
        }
        self.rows.push(Row {
            members: new.clone(),
            free: true,
        });
        for id in new {
            self.row_of.insert(id, self.rows.len() - 1);
        }
    }

    /// Adds values at an end of a row, next to the `placed` ones; returns false if neither end has
    /// them.
    fn extend(&mut self, index: usize, placed: &[Id], new: &[Id]) -> bool {
        let row = &mut self.rows[index];
        let count = placed.len();
        let placed: HashSet<Id> = placed.iter().copied().collect();
        if row.free {
            row.members.sort_by_key(|id| placed.contains(id));
        }
        let len = row.members.len();
        let at_end = row.members[len - count..]
            .iter()
            .all(|id| placed.contains(id));
        let at_start = row.members[..count].iter().all(|id| placed.contains(id));
        if at_end {
            row.members.extend_from_slice(new);
        } else if at_start {
            row.members.splice(0..0, new.iter().copied());
        } else {
            return false;
        }
        row.free = false;
        for id in new {
            self.row_of.insert(*id, index);
        }
        true
    }
}

/// A number that is equal for storages whose values can share a buffer.
const fn steps(storage: Storage) -> u8 {
    match storage {
        Storage::Static | Storage::Leaf(_) => 0,
        Storage::Sample => 1,
        Storage::Local => 2,
        Storage::Chunk | Storage::Full => 3,
    }
}
