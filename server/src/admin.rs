use std::time::Duration;

use anyhow::{Context, Result};
use auth::{Accounts, AdminCreated, AdminError};
use mainstay::kernel::{Clock, Ctx, Random};
use mainstay::{Running, Settings};

use crate::cli::CreateArgs;
use crate::settings::Loaded;
use crate::{assemble, prompt, say, serve};

/// Time for each step against the database and the password's hash.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes an administrator, or gives an existing account the role.
pub fn create(args: &CreateArgs, loaded: &Loaded) -> Result<()> {
    let _log = serve::log(&loaded.settings)?;
    serve::runtime(&loaded.settings)?.block_on(async {
        let (clock, random) = (Clock::system(), Random::os());
        let running = start(&loaded.settings, &clock, &random).await?;
        let outcome = prompt::interruptible(grant(args, &running, &clock, &random)).await.flatten();
        running.store.close().await;
        say(&match outcome? {
            AdminCreated::Created(id) => format!("{} is a new account ({id}) and an administrator.", args.email),
            AdminCreated::Promoted(id) => {
                format!("{} ({id}) is an administrator now; the password is the one it had.", args.email)
            }
        })
    })
}

async fn start(settings: &Settings, clock: &Clock, random: &Random) -> Result<Running> {
    Ok(assemble::app().start(settings.clone(), clock.clone(), random.clone()).await?)
}

async fn grant(args: &CreateArgs, running: &Running, clock: &Clock, random: &Random) -> Result<AdminCreated> {
    let accounts: &Accounts = running.api.state().get().context("this binary was built without accounts")?;
    // A context of its own for each step: a person types in between.
    let ctx = || Ctx::system("admin create", PATIENCE, clock, random);
    match accounts.promote(&ctx(), &args.email).await {
        Ok(id) => return Ok(AdminCreated::Promoted(id)),
        Err(AdminError::AccountNotFound) => {}
        Err(error) => return Err(error).context("the account could not be looked up"),
    }
    // On a thread of its own, so that a signal is heard while a person thinks.
    let is_piped = args.password_stdin;
    let asked = tokio::task::spawn_blocking(move || prompt::new_password(is_piped)).await;
    let password = asked.context("the password could not be asked for")??;
    accounts.create_admin(&ctx(), &args.email, &password).await.context("no administrator was made")
}
