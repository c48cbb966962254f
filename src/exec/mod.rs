//! Running a plan: workspaces, the driver, and the numeric kernels at the bottom.

pub(crate) mod kernel;
