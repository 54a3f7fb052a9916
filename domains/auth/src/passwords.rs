use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use mainstay::kernel::Ctx;
use mainstay::prelude::{StartError, Work, WorkError};
use mainstay::store::StoreError;

use crate::AuthSettings;
use crate::error::HashError;
use crate::model::Password;

/// Hashes and checks passwords: argon2id. Each takes 19 MiB or more and a core, so it is [`Work`]: so many at once, and
/// whoever finds no permit waits in a queue that has an end.
pub(crate) struct Hasher {
    argon: Argon2<'static>,
    params: Params,
    work: Work,
    count: Arc<AtomicU64>,
    /// The hash of a password nobody has, for addresses nobody has.
    dummy: Arc<str>,
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another password, or no account.
    Wrong,
    /// The right one.
    Right {
        /// Whether it was hashed with other parameters than today's.
        is_outdated: bool,
    },
}

impl Hasher {
    pub(crate) fn new(ctx: &Ctx, settings: &AuthSettings) -> Result<Self, StartError> {
        let params = Params::new(settings.hash_memory_kib, settings.hash_passes, settings.hash_lanes, None)
            .map_err(|e| StartError::new(format!("passwords cannot be hashed with the settings under [auth]: {e}")))?;
        let work = match settings.hash_permits {
            0 => Work::per_core(settings.hash_queue)?,
            permits => Work::new(permits, settings.hash_queue)?,
        };
        let dummy = nobodys(&params, ctx.random().bytes(), ctx.random().bytes())
            .map_err(|e| StartError::new(format!("passwords cannot be hashed with the settings under [auth]: {e}")))?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        Ok(Self { argon, params, work, count: Arc::default(), dummy: dummy.into() })
    }

    /// How many hashes were computed so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Hashes a new password, as a PHC string.
    pub(crate) async fn hash(&self, ctx: &Ctx, password: &Password) -> Result<String, HashError> {
        let (argon, password) = (self.argon.clone(), password.clone());
        let salt: [u8; 16] = ctx.random().bytes();
        self.run(ctx, move || {
            argon
                .hash_password_with_salt(password.expose(), &salt)
                .map(|hash| hash.to_string())
                .map_err(|e| e.to_string())
        })
        .await?
        .map_err(failed)
    }

    /// Checks a password against a stored hash; where there is none, against nobody's, so that it takes the same work.
    pub(crate) async fn check(&self, ctx: &Ctx, password: &Password, hash: Option<&str>) -> Result<Verdict, HashError> {
        let exists = hash.is_some();
        let hash: Arc<str> = hash.map_or_else(|| self.dummy.clone(), Arc::from);
        let (argon, password, today) = (self.argon.clone(), password.clone(), self.params.clone());
        let verdict = self
            .run(ctx, move || {
                let hash = PasswordHash::new(&hash).map_err(|e| e.to_string())?;
                let is_right = argon.verify_password(password.expose(), &hash).is_ok();
                let is_outdated = Params::try_from(&hash).map_err(|e| e.to_string())? != with_output(&today, &hash)
                    || hash.algorithm != argon2::ARGON2ID_IDENT;
                Ok::<_, String>(if is_right { Verdict::Right { is_outdated } } else { Verdict::Wrong })
            })
            .await?
            .map_err(failed)?;
        Ok(if exists { verdict } else { Verdict::Wrong })
    }

    async fn run<T: Send + 'static>(
        &self,
        ctx: &Ctx,
        hash: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let count = self.count.clone();
        let counted = move || {
            count.fetch_add(1, Ordering::Relaxed);
            hash()
        };
        self.work.run(ctx, counted).await.map_err(|error| match error {
            WorkError::WorkBusy => HashError::Busy,
            WorkError::WorkFailed => HashError::Failed(StoreError::internal(error)),
        })
    }
}

/// A hash in today's form that no password has: chance stands where one would. To check against it takes the same work
/// as any; to make it takes none, nor the memory that one takes.
fn nobodys(params: &Params, salt: [u8; 16], output: [u8; Params::DEFAULT_OUTPUT_LEN]) -> Result<String, String> {
    let hash = PasswordHash {
        algorithm: argon2::ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(|e| e.to_string())?,
        salt: Some(Salt::new(&salt).map_err(|e| e.to_string())?),
        hash: Some(Output::new(&output).map_err(|e| e.to_string())?),
    };
    Ok(hash.to_string())
}

/// A parsed hash states its own output length; compare the rest.
fn with_output(params: &Params, hash: &PasswordHash) -> Params {
    let length = hash.hash.as_ref().map(|output| output.len());
    Params::new(params.m_cost(), params.t_cost(), params.p_cost(), length).unwrap_or_else(|_| params.clone())
}

fn failed(cause: String) -> HashError {
    HashError::Failed(StoreError::internal(cause))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mainstay::kernel::{Clock, Random};

    use super::*;

    fn ctx(budget: Duration) -> Ctx {
        Ctx::system("test", budget, &Clock::system(), &Random::os())
    }

    fn hasher(settings: AuthSettings) -> Hasher {
        Hasher::new(&ctx(Duration::from_secs(30)), &settings).unwrap()
    }

    #[test]
    fn a_password_is_right_wrong_or_outdated() {
        testkit::run(async {
            let ctx = ctx(Duration::from_secs(30));
            let old = hasher(AuthSettings::default());
            let new = hasher(AuthSettings { hash_passes: 3, ..AuthSettings::default() });
            let (right, wrong) = (Password::new("correct horse"), Password::new("correct  horse"));
            let hash = old.hash(&ctx, &right).await.unwrap();
            assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
            assert_eq!(old.check(&ctx, &right, Some(&hash)).await.unwrap(), Verdict::Right { is_outdated: false });
            assert_eq!(old.check(&ctx, &wrong, Some(&hash)).await.unwrap(), Verdict::Wrong);
            assert_eq!(new.check(&ctx, &right, Some(&hash)).await.unwrap(), Verdict::Right { is_outdated: true });
            assert_eq!(old.check(&ctx, &right, None).await.unwrap(), Verdict::Wrong);
            assert_ne!(hash, old.hash(&ctx, &right).await.unwrap(), "the salt is new each time");
        });
    }

    #[test]
    fn nobodys_hash_is_one_that_takes_all_the_work() {
        testkit::run(async {
            let (ctx, hasher) = (ctx(Duration::from_secs(30)), hasher(AuthSettings::default()));
            let real = hasher.hash(&ctx, &Password::new("correct horse")).await.unwrap();
            let (real, dummy) = (PasswordHash::new(&real).unwrap(), PasswordHash::new(&hasher.dummy).unwrap());
            // All that decides how long a check takes.
            assert_eq!((real.algorithm, real.version, &real.params), (dummy.algorithm, dummy.version, &dummy.params));
            let lengths = |hash: &PasswordHash| (hash.salt.unwrap().len(), hash.hash.unwrap().len());
            assert_eq!(lengths(&real), lengths(&dummy));
            // It is computed against, not refused for its form.
            let outcome = hasher.argon.verify_password(b"correct horse", &dummy);
            assert_eq!(outcome, Err(argon2::password_hash::Error::PasswordInvalid));
        });
    }

    /// As an account that was brought here from another program may have one.
    #[test]
    fn a_hash_of_another_kind_of_argon2_is_right_and_outdated() {
        testkit::run(async {
            let (ctx, hasher) = (ctx(Duration::from_secs(30)), hasher(AuthSettings::default()));
            let (right, wrong) = (Password::new("correct horse"), Password::new("correct  horse"));
            let other = Argon2::new(Algorithm::Argon2i, Version::V0x13, hasher.params.clone());
            let hash = other.hash_password_with_salt(right.expose(), &[7; 16]).unwrap().to_string();
            assert!(hash.starts_with("$argon2i$v=19$m=19456,t=2,p=1$"), "{hash}");
            let verdict = hasher.check(&ctx, &right, Some(&hash)).await.unwrap();
            assert_eq!(verdict, Verdict::Right { is_outdated: true });
            assert_eq!(hasher.check(&ctx, &wrong, Some(&hash)).await.unwrap(), Verdict::Wrong);
        });
    }
}
