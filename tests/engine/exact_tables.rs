//! Values, gradients, Hessians and directional derivatives against tables computed elsewhere in
//! 30 to 60 digits.
//!
//! `data/cell_oracles_30digits.csv` holds three cells, `data/recurrence_oracles.csv` models from
//! statistics (with the series `dmbp.csv` and `nile.csv`) and two maps of one variable. Every
//! tolerance is stated with its reason where it is used.

mod cells;
mod garch;
mod maps;
mod nile;
mod table;
