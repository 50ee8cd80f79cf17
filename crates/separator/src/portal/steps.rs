//! The steps in which a portal is prepared and a number is published, as they are kept and shown.

/// A step of the publish routine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The employee whose tokens are used is an administrator.
    Administrator,
    /// The connector is registered.
    Connector,
    /// Each event has exactly one handler.
    Events,
    /// The pages stand in their places.
    Placements,
    /// The portal says that the installation is finished.
    Installed,
    /// The open line is there.
    Line,
    /// The connector is switched on for the line.
    Activation,
    /// The connector knows the number.
    Data,
    /// The portal, asked at the end, says that messages pass.
    State,
}

/// What becomes of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// It is being done.
    Running,
    /// It is done.
    Done,
    /// It failed; in one or two sentences.
    Failed(String),
}

/// What a portal needs for all its numbers.
pub const PREPARATION: [Step; 5] = [
    Step::Administrator,
    Step::Connector,
    Step::Events,
    Step::Placements,
    Step::Installed,
];

/// What a number needs, the portal's part included.
pub const PUBLISHING: [Step; 9] = [
    Step::Administrator,
    Step::Connector,
    Step::Events,
    Step::Placements,
    Step::Installed,
    Step::Line,
    Step::Activation,
    Step::Data,
    Step::State,
];

impl Step {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Connector => "connector",
            Self::Events => "events",
            Self::Placements => "placements",
            Self::Installed => "installed",
            Self::Line => "line",
            Self::Activation => "activation",
            Self::Data => "data",
            Self::State => "state",
        }
    }
}

impl StepState {
    /// As stored and as the API says it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed(_) => "failed",
        }
    }

    /// Why it failed.
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Failed(error) => Some(error.clone()),
            Self::Running | Self::Done => None,
        }
    }
}
