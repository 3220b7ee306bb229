//! Systems where nothing is known but users.

use super::{Protection, SandboxError, User, Work};

pub(super) fn confine(work: &Work, user: Option<&User>) -> Result<Vec<Protection>, SandboxError> {
    match (user, work) {
        (Some(user), Work::Ntp | Work::Dns | Work::Constraint(_)) => {
            user.become_it()?;
            Ok(vec![Protection::User])
        }
        _ => Ok(Vec::new()),
    }
}
