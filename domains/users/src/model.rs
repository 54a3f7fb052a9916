use mainstay::kernel::Account;
use mainstay::prelude::*;

/// What everyone may see of a person.
#[derive(Debug, Clone, PartialEq, Row, Resource)]
#[resource(
    name = "user",
    plural = "users",
    table = "profiles",
    path = "/users",
    read = anyone,
    write = admin,
    include(posts = "posts.by_author" by id)
)]
pub struct Profile {
    /// Who.
    pub id: UserId,
    /// What they are called, 1–100 characters.
    pub display_name: String,
    /// Since when they are here.
    #[resource(created)]
    pub created_at: Time,
    /// When the profile was last changed.
    #[resource(updated, hidden)]
    pub updated_at: Time,
}

/// A person with what only they and administrators may see.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Person {
    pub(crate) account: Account,
    pub(crate) profile: Profile,
}

/// Brings each profile together with its account. One whose account is gone by now is left out.
pub(crate) fn join(profiles: Vec<Profile>, accounts: Vec<Account>) -> Vec<Person> {
    let mut accounts: std::collections::HashMap<UserId, Account> =
        accounts.into_iter().map(|account| (account.id, account)).collect();
    let join = |profile: Profile| accounts.remove(&profile.id).map(|account| Person { account, profile });
    profiles.into_iter().filter_map(join).collect()
}

#[cfg(test)]
mod tests {
    use mainstay::kernel::{Clock, Random};

    use super::*;

    #[test]
    fn profiles_keep_their_order_and_meet_their_own_account() {
        let now = Time::from_micros(1);
        let ids: Vec<UserId> = (0..3).map(|_| UserId::new(&Clock::system(), &Random::os())).collect();
        let profile = |id| Profile { id, display_name: String::new(), created_at: now, updated_at: now };
        let account = |id: UserId| Account { id, email: id.to_string(), role: Role::User, created_at: now };
        let people = join(ids.iter().copied().map(profile).collect(), vec![account(ids[2]), account(ids[0])]);
        let found: Vec<_> = people.iter().map(|p| (p.profile.id, p.account.email.clone())).collect();
        assert_eq!(found, [(ids[0], ids[0].to_string()), (ids[2], ids[2].to_string())]);
    }
}
