use mainstay::kernel::Secret;
use mainstay::{Command, Invocation, StartError};

use crate::{Accounts, AdminError};

/// `admin create`: how the first administrator comes to be, since nobody else may appoint one.
pub(crate) fn create_admin() -> Command {
    Command::new("admin create", "Make an administrator", create)
        .group("Manage administrators")
        .details(
            "The password is asked for on a terminal, without showing it, and otherwise read as one line from standard \
             input. An address that is registered is refused, since anyone may have registered it; with --promote its \
             account gets the role and this password, and its sessions end. The server may be running meanwhile.",
        )
        .argument("email", "The address the account signs in with")
        .switch("promote", "Give the account that has this address the role, and this password")
        .switch("password-stdin", "Read the password as one line from standard input, on a terminal too")
        .first_step("make the first administrator", "you@example.com")
}

async fn create(given: Invocation) -> Result<String, StartError> {
    let accounts: Accounts = given.service()?;
    let (email, is_promotion) = (given.value("email"), given.is_set("promote"));
    let failed = |error: AdminError| StartError::caused("no administrator was made", error);
    // Before anybody types a password for nothing; what counts is judged once more when it is written.
    accounts.check_admin(&given.ctx(), email, is_promotion).await.map_err(failed)?;
    let password: Secret<String> = given.new_password(given.is_set("password-stdin")).await?;
    if is_promotion {
        let id = accounts.promote(&given.ctx(), email, &password).await.map_err(failed)?;
        return Ok(format!("{email} ({id}) is an administrator now, with this password; its sessions are over."));
    }
    let id = accounts.create_admin(&given.ctx(), email, &password).await.map_err(failed)?;
    Ok(format!("{email} is a new account ({id}) and an administrator."))
}
