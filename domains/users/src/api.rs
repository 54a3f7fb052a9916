use mainstay::kernel::AccountFilter;
use mainstay::prelude::*;
use mainstay::resource::Cursors;
use mainstay::store::Value;
use mainstay::web::{ETag, ETags, Operation, Precondition, Problem, Response, Success};

use crate::error::{ListError, UsersError, bad_cursor};
use crate::model::Person;
use crate::service::{UserFilter, Users};

impl Service for Users {}

/// Yourself.
#[view]
#[derive(Debug)]
pub struct MeView {
    /// Who you are.
    pub id: UserId,
    /// The address you sign in with. Nobody else sees it but administrators.
    pub email: String,
    /// What you may do.
    pub role: Role,
    /// What others see.
    pub display_name: String,
    /// Since when you are here.
    pub created_at: Time,
    /// When the profile was last changed.
    pub updated_at: Time,
}

impl From<&Person> for MeView {
    fn from(person: &Person) -> Self {
        Self {
            id: person.profile.id,
            email: person.account.email.clone(),
            role: person.account.role,
            display_name: person.profile.display_name.clone(),
            created_at: person.profile.created_at,
            updated_at: person.profile.updated_at,
        }
    }
}

/// A person as administrators see them.
#[view]
#[derive(Debug)]
pub struct UserEntry {
    /// Who.
    pub id: UserId,
    /// The address they sign in with.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// What others see.
    pub display_name: String,
    /// Since when they are here.
    pub created_at: Time,
}

impl From<Person> for UserEntry {
    fn from(person: Person) -> Self {
        let Person { account, profile } = person;
        Self {
            id: profile.id,
            email: account.email,
            role: account.role,
            display_name: profile.display_name,
            created_at: profile.created_at,
        }
    }
}

/// A change of your profile.
#[input]
#[derive(Debug)]
pub(crate) struct MePatch {
    /// What others see, 1–100 characters.
    #[check(name, length(min = 1, max = 100))]
    #[schemars(example = &"Ada")]
    display_name: PatchField<String>,
}

/// Which part of the list.
#[input]
#[derive(Debug)]
pub(crate) struct UsersQuery {
    /// How many at most, 1–100; 20 unless said.
    #[check(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// The `next_cursor` of the part before.
    cursor: Option<String>,
    /// With this e-mail address, whatever its case.
    #[check(line, length(max = 254))]
    email: Option<String>,
    /// With this role: `user` or `admin`.
    #[check(pattern = "^(user|admin)$")]
    role: Option<String>,
    /// Whose name begins so, upper and lower case told apart.
    #[serde(rename = "display_name[starts_with]")]
    #[check(text, length(max = 100))]
    display_name_prefix: Option<String>,
}

impl UsersQuery {
    /// What cursors of this list are bound to.
    fn list(&self) -> String {
        let Self { email, role, display_name_prefix, .. } = self;
        format!("users of administrators|-id|{email:?}|{role:?}|{display_name_prefix:?}")
    }
}

/// Read your own profile.
///
/// With what nobody else sees but administrators: your address and your role.
#[get("/users/me")]
pub(crate) async fn get_me(caller: Caller<User>, users: Users) -> Result<Json<MeView>, UsersError> {
    let person = users.get(caller.ctx(), caller.user_id()).await?;
    Ok(Json(MeView::from(&person)))
}

/// Change your own profile.
///
/// What is not sent stays.
#[patch("/users/me")]
pub(crate) async fn update_me(
    caller: Caller<User>,
    users: Users,
    precondition: Precondition,
    etags: ETags,
    Valid(patch): Valid<MePatch>,
) -> Result<Updated, UsersError> {
    let name = patch.display_name.into_option();
    let person = users.rename(caller.ctx(), caller.user_id(), name, holds(precondition, etags)).await?;
    Updated::of(&person, etags).map_err(|error| StoreError::internal(error).into())
}

/// Delete your account.
///
/// Everything that belongs to it goes with it, and every session ends.
#[delete("/users/me")]
pub(crate) async fn delete_me(
    caller: Caller<User>,
    users: Users,
    precondition: Precondition,
    etags: ETags,
) -> Result<NoContent, UsersError> {
    users.delete(caller.ctx(), caller.user_id(), holds(precondition, etags)).await?;
    Ok(NoContent)
}

/// Whether a person is in the state that the client stated; one that states none takes any.
fn holds(precondition: Precondition, etags: ETags) -> impl Fn(&Person) -> bool + Send + Sync + 'static {
    move |person| {
        !precondition.is_stated()
            || Updated::of(person, etags).is_ok_and(|updated| precondition.check(&updated.tag).is_ok())
    }
}

/// List users.
///
/// Newest first. Administrators alone may. With a filter a part may be shorter than `limit` though another follows.
#[get("/users")]
pub(crate) async fn list_users(
    caller: Caller<Admin>,
    users: Users,
    cursors: Cursors,
    Query(query): Query<UsersQuery>,
) -> Result<Page<UserEntry>, ListError> {
    let list = query.list();
    let before = match query.cursor.as_deref() {
        None => None,
        Some(text) => match cursors.read(&list, text).as_deref() {
            Some([Value::Id(id)]) => Some(UserId::from_uuid(*id)),
            _ => return Err(bad_cursor().into()),
        },
    };
    let account = AccountFilter { email: query.email, role: query.role.as_deref().and_then(Role::from_name) };
    let filter = UserFilter { account, display_name_prefix: query.display_name_prefix };
    let (people, next) = users.list(caller.ctx(), &filter, before, query.limit.unwrap_or(20)).await?;
    let next_cursor = next.map(|id| cursors.write(&list, &[id.into()]));
    Ok(Page { items: people.into_iter().map(UserEntry::from).collect(), next_cursor })
}

/// Your profile after a change, with the tag for the next one: that of the same bytes when they are read.
#[derive(Debug)]
pub(crate) struct Updated {
    view: MeView,
    tag: ETag,
}

impl Updated {
    fn of(person: &Person, etags: ETags) -> Result<Self, serde_json::Error> {
        let view = MeView::from(person);
        let tag = etags.of(&serde_json::to_vec(&view)?);
        Ok(Self { view, tag })
    }
}

impl Success for Updated {
    fn describe(op: &mut Operation<'_>) {
        let schema = op.schemas().output::<MeView>();
        let tag = serde_json::json!({
            "ETag": { "description": "The tag of this state.", "schema": { "type": "string" } }
        });
        op.success(200, "OK", Some(schema), tag);
    }

    fn into_response(self) -> Result<Response, Problem> {
        let mut response = Json(self.view).into_response()?;
        if let Ok(tag) = self.tag.as_str().parse() {
            response.headers_mut().insert("etag", tag);
        }
        Ok(response)
    }
}
