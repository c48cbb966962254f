//! Values, gradients, Hessians and directional derivatives, compared with tables of 30 to 60 digits from other
//! programs.
//!
//! `data/cell_oracles_30digits.csv` has three cells, `data/recurrence_oracles.csv` statistical models (with the
//! series `dmbp.csv` and `nile.csv`) and two maps of one variable. Each tolerance is explained where it is
//! used.

mod cells;
mod garch;
mod maps;
mod nile;
mod table;
