use std::time::Duration;

use mainstay::store::StoreError;
use mainstay::{CheckContext, Finding};

use crate::{AuthSettings, clock_guard, store};

/// What NIST SP 800-63B-4 asks of a password that is the only factor.
const GOOD_LENGTH: u32 = 15;

/// Longer, and a stolen access token is worth stealing.
const LONG_TOKEN_S: u64 = 3600;

/// How long a key may sign before somebody should have replaced it.
const KEY_AGE: Duration = Duration::from_secs(400 * 24 * 3600);

/// What `doctor` looks at here.
pub(crate) async fn check(context: CheckContext) -> Vec<Finding> {
    let Ok(settings) = context.settings.section::<AuthSettings>("auth") else { return Vec::new() };
    let mut found = of_settings(&settings, context.memory_bytes);
    match of_tables(&context).await {
        Ok(more) => found.extend(more),
        Err(error) => found.push(Finding::serious(
            "accounts_not_readable",
            format!("The tables of accounts cannot be read: {error}."),
            "See what the database's log says.",
        )),
    }
    found
}

fn of_settings(settings: &AuthSettings, memory_bytes: Option<u64>) -> Vec<Finding> {
    let mut found = Vec::new();
    if settings.password_min_characters < GOOD_LENGTH {
        found.push(Finding::advice(
            "passwords_short",
            format!(
                "A password may have {} characters; NIST asks for {GOOD_LENGTH} where nothing else is needed to sign in.",
                settings.password_min_characters
            ),
            format!("Set auth.password_min_characters = {GOOD_LENGTH}, unless that keeps your users out."),
        ));
    }
    if settings.access_token_s >= LONG_TOKEN_S {
        found.push(Finding::advice(
            "access_tokens_long",
            format!("An access token is good for {} minutes, for whoever has it.", settings.access_token_s / 60),
            "Set auth.access_token_s = 900: clients refresh it by themselves.",
        ));
    }
    let permits = match settings.hash_permits {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        permits => permits,
    };
    let needed = permits as u64 * u64::from(settings.hash_memory_kib) * 1024;
    if let Some(memory) = memory_bytes.filter(|memory| needed > memory / 2) {
        found.push(Finding::serious(
            "hash_memory",
            format!(
                "Hashing passwords may take {} MiB; this process may have {} MiB in all.",
                needed >> 20,
                memory >> 20
            ),
            "Lower auth.hash_permits (who has to wait, waits), or give the machine more memory.",
        ));
    }
    found
}

async fn of_tables(context: &CheckContext) -> Result<Vec<Finding>, StoreError> {
    let Some(database) = &context.database else { return Ok(Vec::new()) };
    let (ctx, mut found) = (context.ctx(), Vec::new());
    if !store::has_admin(&database.read(&ctx)).await? {
        found.push(Finding::advice(
            "no_administrator",
            "Nobody is an administrator yet.",
            "Make one: `admin create you@example.com`.",
        ));
    }
    let newest = store::newest_key_at(&database.read(&ctx)).await?;
    if newest.is_some_and(|made_at| made_at.plus(KEY_AGE) < ctx.now()) {
        found.push(Finding::advice(
            "signing_key_old",
            "The key that signs access tokens is more than 400 days old.",
            "Let another take over: set auth.signing_algorithm to one that is not in use, and later back.",
        ));
    }
    if let Some(ahead_s) = clock_guard::ahead_s(store::last_seen_at(&database.read(&ctx)).await?, ctx.now()) {
        found.push(Finding::serious(
            "clock_set_back",
            format!("A session was used {ahead_s} seconds later than now: this clock is wrong, or was."),
            "Set it right (chrony, systemd-timesyncd) before the server starts: tokens and sessions end by the clock.",
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(settings: &AuthSettings, memory_bytes: u64) -> Vec<&'static str> {
        of_settings(settings, Some(memory_bytes)).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn each_setting_that_hurts_is_told() {
        let good = AuthSettings { password_min_characters: 15, hash_permits: 2, ..AuthSettings::default() };
        assert_eq!(codes(&good, 1 << 30), [""; 0]);
        assert_eq!(codes(&AuthSettings { password_min_characters: 8, ..good.clone() }, 1 << 30), ["passwords_short"]);
        assert_eq!(codes(&AuthSettings { access_token_s: 3600, ..good.clone() }, 1 << 30), ["access_tokens_long"]);
        assert_eq!(codes(&AuthSettings { hash_permits: 64, ..good }, 1 << 30), ["hash_memory"]);
    }
}
