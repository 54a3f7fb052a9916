use anyhow::Result;
use app::Invoked;
use kernel::{Clock, Random};

use crate::settings::Loaded;
use crate::{Program, prompt, serve};

/// Starts the app, runs the command over it, and says what it answers.
pub(crate) fn invoke(program: &Program<'_>, invoked: Invoked, loaded: &Loaded) -> Result<()> {
    let _log = serve::log(loaded)?;
    serve::runtime(&loaded.settings)?.block_on(async {
        let (clock, random) = (Clock::system(), Random::os());
        let running = program.app().start(loaded.settings.clone(), clock.clone(), random.clone()).await?;
        let store = running.store.clone();
        let work = invoked.run(running, clock, random, prompt::new_password);
        let outcome = prompt::interruptible(&program.name, work).await;
        store.close().await;
        program.tell(&outcome??);
        Ok(())
    })
}
