use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use mainstay::Turn;
use mainstay::kernel::Ctx;
use mainstay::prelude::{CpuPool, CpuPoolError, StartError};
use mainstay::store::StoreError;

use crate::AuthSettings;
use crate::error::HashError;
use crate::model::Password;

/// Hashes and checks passwords: argon2id. Each takes 19 MiB or more and a core, so it runs on a [`CpuPool`]: a bounded
/// number at once, and a bounded queue in which networks take turns.
pub(crate) struct Hasher {
    argon: Argon2<'static>,
    params: Params,
    work: CpuPool,
    count: Arc<AtomicU64>,
    /// For each form of the stored hashes, today's first: a hash in it that no password has. A wrong password takes the
    /// work of all of them, so that it cannot be told from the time whether an account is there, nor how old its hash is.
    nobodys: RwLock<Arc<[Nobodys]>>,
}

/// A hash that no password has, in one form.
#[derive(Debug, Clone)]
struct Nobodys {
    form: String,
    hash: String,
}

/// The most forms that are distinguished: to need more, the parameters must change as often, and somebody must not sign
/// in since the first.
const MOST_FORMS: usize = 8;

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

/// All of a hash that decides how long a check takes: what stands before the salt.
pub(crate) fn form_of(hash: &str) -> Option<&str> {
    hash.rsplitn(3, '$').nth(2)
}

impl Hasher {
    pub(crate) fn new(ctx: &Ctx, settings: &AuthSettings) -> Result<Self, StartError> {
        let params = Params::new(settings.hash_memory_kib, settings.hash_passes, settings.hash_lanes, None)
            .map_err(|e| StartError::new(format!("passwords cannot be hashed with the settings under [auth]: {e}")))?;
        let work = match settings.hash_permits {
            0 => CpuPool::per_core(settings.hash_queue)?,
            permits => CpuPool::new(permits, settings.hash_queue)?,
        };
        let todays = nobodys(&params, ctx.random().bytes(), ctx.random().bytes())
            .map_err(|e| StartError::new(format!("passwords cannot be hashed with the settings under [auth]: {e}")))?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let form = form_of(&todays).unwrap_or_default().to_owned();
        let nobodys = RwLock::new(Arc::from([Nobodys { form, hash: todays }]));
        Ok(Self { argon, params, work, count: Arc::default(), nobodys })
    }

    /// The form of the hashes that are made now.
    pub(crate) fn todays_form(&self) -> String {
        self.nobodys().first().map(|todays| todays.form.clone()).unwrap_or_default()
    }

    /// Stored hashes have these forms. Today's is one of them; what is no form is passed over.
    pub(crate) fn know_forms<'a>(&self, forms: impl IntoIterator<Item = &'a str>) {
        let known = self.nobodys();
        let Some(todays) = known.first() else { return };
        let salt_and_hash = todays.hash.strip_prefix(&todays.form).unwrap_or_default();
        let mut all = vec![todays.clone()];
        for form in forms {
            let hash = format!("{form}{salt_and_hash}");
            if all.iter().all(|other| other.form != form) && all.len() < MOST_FORMS && is_good(&hash) {
                all.push(Nobodys { form: form.to_owned(), hash });
            }
        }
        *self.nobodys.write().unwrap_or_else(PoisonError::into_inner) = all.into();
    }

    /// Whether the form of this stored hash is one of those that are known.
    pub(crate) fn knows_form_of(&self, hash: &str) -> bool {
        form_of(hash).is_none_or(|form| self.nobodys().iter().any(|known| known.form == form))
    }

    fn nobodys(&self) -> Arc<[Nobodys]> {
        self.nobodys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many hashes were computed so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Hashes a new password, as a PHC string.
    pub(crate) async fn hash(&self, ctx: &Ctx, password: &Password) -> Result<String, HashError> {
        let (argon, password, count) = (self.argon.clone(), password.clone(), self.count.clone());
        let salt: [u8; 16] = ctx.random().bytes();
        let hash = self.work.run(ctx, move || {
            count.fetch_add(1, Ordering::Relaxed);
            argon
                .hash_password_with_salt(password.expose(), &salt)
                .map(|hash| hash.to_string())
                .map_err(|e| e.to_string())
        });
        hash.await.map_err(not_hashed)?.map_err(failed)
    }

    /// Waits until a password may be checked. What is decided in between is decided just before the work is done.
    pub(crate) async fn turn(&self, ctx: &Ctx) -> Result<Turn, HashError> {
        self.work.turn(ctx).await.map_err(not_hashed)
    }

    /// Checks a password against a stored hash; where there is none, against nobody's. A wrong one takes the same work
    /// either way.
    pub(crate) async fn check(
        &self,
        ctx: &Ctx,
        turn: Turn,
        password: &Password,
        hash: Option<&str>,
    ) -> Result<Verdict, HashError> {
        let (hash, nobodys) = (hash.map(ToOwned::to_owned), self.nobodys());
        let (argon, password, today, count) =
            (self.argon.clone(), password.clone(), self.params.clone(), self.count.clone());
        let verdict = turn.run(ctx, move || {
            let verify = |hash: &PasswordHash| {
                count.fetch_add(1, Ordering::Relaxed);
                argon.verify_password(password.expose(), hash).is_ok()
            };
            if let Some(hash) = &hash {
                let hash = PasswordHash::new(hash).map_err(|e| e.to_string())?;
                if verify(&hash) {
                    let params = Params::try_from(&hash).map_err(|e| e.to_string())?;
                    let is_todays = params == with_output(&today, &hash) && hash.algorithm == argon2::ARGON2ID_IDENT;
                    return Ok(Verdict::Right { is_outdated: !is_todays });
                }
            }
            let form = hash.as_deref().and_then(form_of);
            for other in nobodys.iter().filter(|other| Some(&*other.form) != form) {
                verify(&PasswordHash::new(&other.hash).map_err(|e| e.to_string())?);
            }
            Ok::<_, String>(Verdict::Wrong)
        });
        verdict.await.map_err(not_hashed)?.map_err(failed)
    }
}

fn not_hashed(error: CpuPoolError) -> HashError {
    match error {
        CpuPoolError::WorkBusy => HashError::Busy,
        CpuPoolError::WorkFailed => HashError::Failed(StoreError::internal(error)),
    }
}

/// Whether it is a hash that can be checked against.
fn is_good(hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Params::try_from(&hash).is_ok()
            && Algorithm::try_from(hash.algorithm.as_str()).is_ok()
            && hash.version.is_none_or(|version| Version::try_from(version).is_ok())
    })
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

    async fn check(hasher: &Hasher, ctx: &Ctx, password: &Password, hash: Option<&str>) -> Verdict {
        let turn = hasher.turn(ctx).await.unwrap();
        hasher.check(ctx, turn, password, hash).await.unwrap()
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
            assert_eq!(check(&old, &ctx, &right, Some(&hash)).await, Verdict::Right { is_outdated: false });
            assert_eq!(check(&old, &ctx, &wrong, Some(&hash)).await, Verdict::Wrong);
            assert_eq!(check(&new, &ctx, &right, Some(&hash)).await, Verdict::Right { is_outdated: true });
            assert_eq!(check(&old, &ctx, &right, None).await, Verdict::Wrong);
            assert_ne!(hash, old.hash(&ctx, &right).await.unwrap(), "the salt is new each time");
        });
    }

    #[test]
    fn nobodys_hash_is_one_that_takes_all_the_work() {
        testkit::run(async {
            let (ctx, hasher) = (ctx(Duration::from_secs(30)), hasher(AuthSettings::default()));
            let real = hasher.hash(&ctx, &Password::new("correct horse")).await.unwrap();
            let dummy = hasher.nobodys()[0].clone();
            assert_eq!(form_of(&real), Some(&*dummy.form));
            let (real, dummy) = (PasswordHash::new(&real).unwrap(), PasswordHash::new(&dummy.hash).unwrap());
            // All that decides how long a check takes.
            assert_eq!((real.algorithm, real.version, &real.params), (dummy.algorithm, dummy.version, &dummy.params));
            let lengths = |hash: &PasswordHash| (hash.salt.unwrap().len(), hash.hash.unwrap().len());
            assert_eq!(lengths(&real), lengths(&dummy));
            // It is computed against, not refused for its form.
            let outcome = hasher.argon.verify_password(b"correct horse", &dummy);
            assert_eq!(outcome, Err(argon2::password_hash::Error::PasswordInvalid));
        });
    }

    /// Whatever was hashed how, and by whom: a wrong password takes each form's work once.
    #[test]
    fn a_wrong_password_takes_the_same_work_whether_the_account_is_there_or_how_old_its_hash_is() {
        testkit::run(async {
            let ctx = ctx(Duration::from_secs(30));
            let (old, new) =
                (hasher(AuthSettings::default()), hasher(AuthSettings { hash_passes: 3, ..AuthSettings::default() }));
            let (right, wrong) = (Password::new("correct horse"), Password::new("correct  horse"));
            let (before, today) = (old.hash(&ctx, &right).await.unwrap(), new.hash(&ctx, &right).await.unwrap());
            assert!(new.knows_form_of(&today) && !new.knows_form_of(&before));
            let (first, second) = (old.todays_form(), new.todays_form());
            assert_eq!(first, "$argon2id$v=19$m=19456,t=2,p=1");
            // What is none, and what nobody could check against, costs nothing.
            new.know_forms([&*first, "", "$argon2id$v=19$m=1", "$md5$v=19$m=19456,t=2,p=1", &first, &second]);
            assert!(new.knows_form_of(&before));
            let known: Vec<_> = new.nobodys().iter().map(|one| one.form.clone()).collect();
            assert_eq!(known, [second, first]);
            for hash in [None, Some(&*before), Some(&*today)] {
                let count = new.count();
                assert_eq!(check(&new, &ctx, &wrong, hash).await, Verdict::Wrong);
                assert_eq!(new.count() - count, 2, "{hash:?}");
            }
            // Who knows the password knows that the account is there.
            let count = new.count();
            assert_eq!(check(&new, &ctx, &right, Some(&before)).await, Verdict::Right { is_outdated: true });
            assert_eq!(new.count() - count, 1);
            // No more than there is room for.
            let many: Vec<_> = (2..40).map(|passes| format!("$argon2id$v=19$m=19456,t={passes},p=1")).collect();
            new.know_forms(many.iter().map(String::as_str));
            assert_eq!(new.nobodys().len(), MOST_FORMS);
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
            let verdict = check(&hasher, &ctx, &right, Some(&hash)).await;
            assert_eq!(verdict, Verdict::Right { is_outdated: true });
            assert_eq!(check(&hasher, &ctx, &wrong, Some(&hash)).await, Verdict::Wrong);
        });
    }
}
