//! Carries out a [`SandboxPlan`](crate::plan::SandboxPlan).
