//! What a server asks of the system before it begins.

use rlimit::Resource;

/// As many files as the system allows, and no core dump: it would hold tokens and what people said.
pub(super) fn prepare() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "open files allowed"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
    if let Ok((_, hard)) = rlimit::getrlimit(Resource::CORE)
        && let Err(error) = rlimit::setrlimit(Resource::CORE, 0, hard)
    {
        tracing::warn!(%error, "core dumps could not be turned off");
    }
}
