use mainstay::{Command, Invocation, StartError};

use crate::{Accounts, AdminCreated, AdminError};

/// `admin create`: how the first administrator comes to be, since nobody else may appoint one.
pub(crate) fn create_admin() -> Command {
    Command::new("admin create", "Make an administrator, or give an existing account the role", create)
        .group("Manage administrators")
        .details(
            "The password is asked for on a terminal, without showing it, and otherwise read as one line from standard \
             input. An account that exists keeps its password. The server may be running meanwhile.",
        )
        .argument("email", "The address the account signs in with")
        .switch("password-stdin", "Read the password as one line from standard input, on a terminal too")
        .first_step("make the first administrator", "you@example.com")
}

async fn create(given: Invocation) -> Result<String, StartError> {
    let accounts: Accounts = given.service()?;
    let email = given.value("email");
    let made = match accounts.promote(&given.ctx(), email).await {
        Ok(id) => AdminCreated::Promoted(id),
        Err(AdminError::AccountNotFound) => {
            let password = given.new_password(given.is_set("password-stdin")).await?;
            let made = accounts.create_admin(&given.ctx(), email, &password).await;
            made.map_err(|error| StartError::caused("no administrator was made", error))?
        }
        Err(error) => return Err(StartError::caused("the account could not be looked up", error)),
    };
    Ok(match made {
        AdminCreated::Created(id) => format!("{email} is a new account ({id}) and an administrator."),
        AdminCreated::Promoted(id) => {
            format!("{email} ({id}) is an administrator now; the password is the one it had.")
        }
    })
}
