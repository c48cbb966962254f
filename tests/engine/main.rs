//! The engine: definitions, derivatives, evaluator, plans and runs, certification.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod accuracy;
mod bad_input;
mod batches;
mod certificates;
mod chaos;
mod conditions;
mod control;
mod custom_op;
mod declared;
mod directions;
mod exact_tables;
mod executor;
mod fitted_models;
mod hand_derived;
mod inputs;
mod lengths;
mod long_sums;
mod losses;
mod memory;
mod mistakes;
mod models;
mod mutants;
mod names;
mod newton;
mod non_finite;
mod non_finite_random;
mod observations;
mod online;
mod ops;
mod ops_dense;
mod ops_linear;
mod per_sample;
mod pools;
mod sample_norms;
mod sequences;
mod singular;
mod square;
mod statistics;
mod stepper;
mod structure;
mod truncated;
mod user_recurrences;
mod verdicts;
mod views;
mod wrong_rules;
