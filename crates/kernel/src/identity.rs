use crate::{Id, IdKind, Time};

/// Marks ids of accounts and of the profiles that belong to them: the id is one.
#[derive(Debug)]
pub enum AccountKind {}
impl IdKind for AccountKind {
    const PREFIX: &'static str = "usr";
    const NAME: &'static str = "UserId";
}

/// Who a person is, everywhere: `usr_…`. `auth` owns the account behind it, `users` the profile.
pub type UserId = Id<AccountKind>;
/// The same id, where the account is meant.
pub type AccountId = UserId;

/// Marks ids of organisations.
#[derive(Debug)]
pub enum OrgKind {}
impl IdKind for OrgKind {
    const PREFIX: &'static str = "org";
    const NAME: &'static str = "OrgId";
}

/// An organisation: `org_…`.
pub type OrgId = Id<OrgKind>;

/// Marks ids of sessions.
#[derive(Debug)]
pub enum SessionKind {}
impl IdKind for SessionKind {
    const PREFIX: &'static str = "ses";
    const NAME: &'static str = "SessionId";
}

/// One signed-in device or browser: `ses_…`.
pub type SessionId = Id<SessionKind>;

/// What an account may do beyond its own things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Its own things only.
    User,
    /// Everything.
    Admin,
}

impl Role {
    /// The word on the wire and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "user" => Some(Role::User),
            "admin" => Some(Role::Admin),
            _ => None,
        }
    }
}

/// The caller, as far as it was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Nobody in particular.
    Anonymous,
    /// A person with a live session.
    User {
        /// Who.
        user_id: UserId,
        /// By which session.
        session_id: SessionId,
        /// With which role.
        role: Role,
    },
    /// The process itself: start-up, commands on the server's own terminal.
    System,
}

impl Identity {
    /// The person, if it is one.
    pub const fn user_id(&self) -> Option<UserId> {
        match self {
            Identity::User { user_id, .. } => Some(*user_id),
            Identity::Anonymous | Identity::System => None,
        }
    }

    /// Whether it may do everything.
    pub const fn is_admin(&self) -> bool {
        matches!(self, Identity::User { role: Role::Admin, .. } | Identity::System)
    }
}

/// Announced, inside the transaction that makes it, when an account comes to be. `users` answers with a profile.
#[derive(Debug, Clone)]
pub struct AccountRegistered {
    /// The new account.
    pub id: UserId,
    /// What the person wants to be called, 1–100 characters.
    pub display_name: String,
    /// When; the same for everything that comes to be with it.
    pub at: Time,
}

/// Emitted when an account is deleted, inside the transaction that deletes it. A domain that keeps things for the
/// account removes them there.
#[derive(Debug, Clone)]
pub struct AccountDeleted {
    /// The account that goes.
    pub id: UserId,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn person(role: Role) -> Identity {
        Identity::User {
            user_id: UserId::from_uuid(Uuid::from_u128(1)),
            session_id: SessionId::from_uuid(Uuid::from_u128(2)),
            role,
        }
    }

    #[test]
    fn a_role_has_one_name_in_the_store_and_on_the_wire() {
        for (role, name) in [(Role::User, "user"), (Role::Admin, "admin")] {
            assert_eq!(role.name(), name);
            assert_eq!(Role::from_name(name), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), name);
        }
        for other in ["", "Admin", "ADMIN", "admin ", "root", "superuser"] {
            assert_eq!(Role::from_name(other), None, "{other}");
        }
    }

    #[test]
    fn administrators_and_the_process_alone_may_do_everything() {
        assert!(person(Role::Admin).is_admin());
        assert!(Identity::System.is_admin());
        assert!(!person(Role::User).is_admin());
        assert!(!Identity::Anonymous.is_admin());
    }

    #[test]
    fn only_a_person_is_somebody() {
        for role in [Role::User, Role::Admin] {
            assert_eq!(person(role).user_id(), Some(UserId::from_uuid(Uuid::from_u128(1))));
        }
        assert_eq!(Identity::Anonymous.user_id(), None);
        assert_eq!(Identity::System.user_id(), None);
    }
}
