//! Optimisers and schedules, compared with numbers that were computed elsewhere.

mod trajectories;
