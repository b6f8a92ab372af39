//! Names of keys and channels.

/// Kombu's steps of priority, most urgent first.
pub(crate) const STEPS: [u8; 4] = [0, 3, 6, 9];

/// Prefix of what notes a revocation.
pub(crate) const REVOKED: &str = "voice:revoked:";
/// Prefix of a job's stream and channel.
pub(crate) const PROGRESS: &str = "voice:progress:";
/// Prefix of a result, as Celery names it.
pub(crate) const RESULT: &str = "celery-task-meta-";
/// Prefix of what a worker holds.
pub(crate) const HELD: &str = "voice:held:";
/// Prefix of what others need to know of a worker.
pub(crate) const WORKER: &str = "voice:worker:";
/// Prefix of the channel on which a worker is handed messages.
pub(crate) const INBOX: &str = "voice:inbox:";
/// Prefix of what notes that a job of ours exists, before anybody has claimed it.
pub(crate) const KNOWN: &str = "voice:known:";
/// Prefix of what names a call's newest job.
pub(crate) const CALL: &str = "voice:call:";

/// All names that belong to one queue of one database.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) queue: String,
    pub(crate) db: i64,
    pub(crate) unacked: String,
    pub(crate) unacked_index: String,
    pub(crate) leases: String,
    pub(crate) ready: String,
    pub(crate) claims: String,
    pub(crate) deaths: String,
    pub(crate) suspects: String,
    pub(crate) parked: String,
    pub(crate) dead: String,
}

impl Keys {
    pub(crate) fn new(queue: &str, db: i64) -> Self {
        Self {
            queue: queue.to_owned(),
            db,
            unacked: "unacked".into(),
            unacked_index: "unacked_index".into(),
            leases: format!("voice:leases:{queue}"),
            ready: format!("voice:ready:{queue}"),
            claims: "voice:claims".into(),
            deaths: format!("voice:deaths:{queue}"),
            suspects: format!("voice:suspects:{queue}"),
            parked: format!("voice:parked:{queue}"),
            dead: format!("voice:dead:{queue}"),
        }
    }

    /// The list of a step of priority.
    pub(crate) fn list(&self, step: u8) -> String {
        if step == 0 { self.queue.clone() } else { format!("{}\u{6}\u{16}{step}", self.queue) }
    }

    /// The list of a priority: the largest step that is not above it.
    pub(crate) fn list_of(&self, priority: u8) -> String {
        self.list(STEPS.into_iter().rev().find(|step| *step <= priority).unwrap_or(0))
    }

    /// Channel of Celery's remote control.
    pub(crate) fn control(&self) -> String {
        format!("/{}.celery.pidbox", self.db)
    }

    /// Channel of Celery's events of a kind such as `task-received`.
    pub(crate) fn events(&self, kind: &str) -> String {
        format!("/{}.celeryev/{}", self.db, kind.replace('-', "."))
    }
}

/// Key and channel of a job's result.
pub(crate) fn result(job_id: &str) -> String {
    format!("{RESULT}{job_id}")
}

/// Stream and channel of a job's progress.
pub(crate) fn progress(job_id: &str) -> String {
    format!("{PROGRESS}{job_id}")
}

/// Key that notes that a job of ours exists.
pub(crate) fn known(job_id: &str) -> String {
    format!("{KNOWN}{job_id}")
}
