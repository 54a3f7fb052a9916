use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use cache::Cache;
use http::StatusCode;
use http::header::{CONTENT_TYPE, ETAG, HeaderValue, LOCATION};
use kernel::{ApiError, Ctx, Id, Identity, RequestPart, UserId, ValidationErrors, text};
use serde::Serialize;
use serde_json::{Value as Json, json};
use store::{Reads, Store, StoreError};
use web::{
    AccessError, Admin, Anyone, Caller, ETags, Endpoint, Input, InputType, Method, Operation, Path, Precondition,
    Problem, Request, RequestError, Response, User, Valid, parse_pairs,
};

use crate::answer::NO_PARAMETER;
use crate::caching::{self, Kept, KeptRow, NotLoaded};
use crate::list::{ListQuery, describe_list, describe_selection, extra_cost};
use crate::projection::{Relation, Selection};
use crate::sql::{Statements, own_values};
use crate::{Column, Cursors, Loaders, Read, Resource, Spec, Write};

/// One of a resource's operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `GET /things`
    List,
    /// `GET /things/{id}`
    Get,
    /// `POST /things`
    Create,
    /// `PATCH /things/{id}`
    Update,
    /// `DELETE /things/{id}`
    Delete,
}

/// The operations of a resource that a domain serves.
#[derive(Debug)]
pub struct Operations<R> {
    ops: Vec<Op>,
    resource: PhantomData<fn() -> R>,
}

/// All five operations of a resource.
pub fn of<R: Resource>() -> Operations<R> {
    Operations { ops: vec![Op::List, Op::Get, Op::Create, Op::Update, Op::Delete], resource: PhantomData }
}

/// What every operation of one resource shares.
#[derive(Debug)]
struct ResourceState {
    spec: &'static Spec,
    statements: Statements,
    relations: Vec<Relation>,
    kept: Kept,
    etags: ETags,
}

type OperationFuture = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;

impl<R: Resource> Operations<R> {
    /// All but this one, which the domain writes by hand or does not offer.
    #[must_use]
    pub fn without(mut self, op: Op) -> Self {
        self.ops.retain(|o| *o != op);
        self
    }

    /// Only these.
    #[must_use]
    pub fn only(mut self, ops: &[Op]) -> Self {
        self.ops.retain(|o| ops.contains(o));
        self
    }

    /// As endpoints, with the includes whose loaders are linked.
    ///
    /// # Errors
    /// When an include names a loader that its domain does not export, or the spec contradicts itself.
    pub fn endpoints(&self, loaders: &Loaders, cache: &Cache, etags: ETags) -> Result<Vec<Endpoint>, String> {
        let spec = R::SPEC;
        let mut relations = Vec::new();
        for include in spec.includes {
            if let Some(loader) = loaders.find(include.loader)? {
                relations.push(Relation { include, loader });
            }
        }
        // Of one that may be absent it can be asked whether it is.
        let is_impossible = |c: &&Column| !c.kind.is_ordered() && (c.is_sort || c.is_filter && !c.is_nullable);
        if let Some(column) = spec.columns.iter().find(is_impossible) {
            let (name, of) = (column.name, spec.type_name);
            return Err(format!(
                "`{name}` of {of} is `json` or `blob`: it cannot be sorted by, nor filtered by its value"
            ));
        }
        let shared = Arc::new(ResourceState {
            spec,
            statements: Statements::new(spec),
            relations,
            kept: Kept::new(spec, cache, etags)?,
            etags,
        });
        Ok(self.ops.iter().map(|op| endpoint::<R>(*op, &shared)).collect())
    }
}

fn endpoint<R: Resource>(op: Op, shared: &Arc<ResourceState>) -> Endpoint {
    let spec = shared.spec;
    let (method, path, id, docs): (Method, String, String, String) = match op {
        Op::List => (
            Method::Get,
            spec.path.into(),
            format!("list_{}", spec.plural),
            format!("List {}.\n\n{}", spec.plural, who_reads(spec)),
        ),
        Op::Get => (
            Method::Get,
            format!("{}/{{id}}", spec.path),
            format!("get_{}", spec.name),
            format!("Get one {}.\n\n{}", spec.name, who_reads(spec)),
        ),
        Op::Create => (
            Method::Post,
            spec.path.into(),
            format!("create_{}", spec.name),
            format!("Create a {}.\n\n{}", spec.name, who_creates(spec)),
        ),
        Op::Update => (
            Method::Patch,
            format!("{}/{{id}}", spec.path),
            format!("update_{}", spec.name),
            format!("Change a {}.\n\nFields that are not sent stay as they are. {}", spec.name, who_changes(spec)),
        ),
        Op::Delete => (
            Method::Delete,
            format!("{}/{{id}}", spec.path),
            format!("delete_{}", spec.name),
            format!("Delete a {}.\n\n{}", spec.name, who_changes(spec)),
        ),
    };
    let (described, etags) = (shared.clone(), shared.etags);
    let shared = shared.clone();
    let endpoint = Endpoint::new(
        method,
        path,
        id,
        &docs,
        move |operation| describe::<R>(op, &described, operation),
        Arc::new(move |request| -> OperationFuture {
            let shared = shared.clone();
            match op {
                Op::List => Box::pin(list::<R>(request, shared)),
                Op::Get => Box::pin(get::<R>(request, shared)),
                Op::Create => Box::pin(create::<R>(request, shared)),
                Op::Update => Box::pin(update::<R>(request, shared)),
                Op::Delete => Box::pin(delete::<R>(request, shared)),
            }
        }),
    );
    let endpoint = spec.limits.iter().fold(endpoint, |endpoint, name| endpoint.limited_by(name));
    match op {
        Op::List => endpoint.costing_by_query(extra_cost),
        Op::Create => endpoint.idempotent(move |value| value.downcast_ref::<R>().map(|row| created(row, etags))),
        Op::Get | Op::Update | Op::Delete => endpoint,
    }
}

fn who_reads(spec: &Spec) -> String {
    match spec.read {
        Read::Anyone => "Anyone may read them.".to_owned(),
        Read::Admin => "Only administrators may read them.".to_owned(),
        Read::Owner => "Each person sees their own; administrators see any by its id.".to_owned(),
        Read::OwnerOr(column) => {
            format!(
                "Anyone sees those with `{}`; their owner sees the others too, and administrators any by its id.",
                spec.columns[column].name
            )
        }
    }
}

fn who_creates(spec: &Spec) -> &'static str {
    match spec.write {
        Write::Owner => "Whoever is signed in may, and owns it then.",
        Write::Admin => "Only administrators may.",
    }
}

fn who_changes(spec: &Spec) -> &'static str {
    match spec.write {
        Write::Owner => "Only its owner and administrators may.",
        Write::Admin => "Only administrators may.",
    }
}

fn describe<R: Resource>(op: Op, shared: &ResourceState, operation: &mut Operation<'_>) {
    let spec = shared.spec;
    match op {
        Op::List | Op::Get => describe_reader(spec, operation),
        Op::Create | Op::Update | Op::Delete => describe_writer(spec, operation),
    }
    match op {
        Op::List => {
            for name in ["malformed_query", "repeated_field", "invalid_request"] {
                operation.request_error(name);
            }
            describe_list(spec, &shared.relations, operation);
            let item = item_schema::<R>(shared, operation);
            let page = json!({
                "type": "object",
                "properties": {
                    "items": { "type": "array", "items": item },
                    "next_cursor": { "type": ["string", "null"], "description": "Send it as `cursor` to get the next part; null at the end." },
                    "total": { "type": "integer", "description": "All items, where `total=true` asked for it." },
                },
                "required": ["items", "next_cursor"],
            });
            let page = operation.schemas().named(&format!("{}Page", spec.type_name), page);
            operation.success(200, "A part of the list.", Some(page), json!({}));
        }
        Op::Get => {
            Path::<Id<R::Kind>>::describe(operation);
            for name in ["malformed_query", "repeated_field"] {
                operation.request_error(name);
            }
            describe_selection(spec, &shared.relations, operation);
            let item = item_schema::<R>(shared, operation);
            operation.success(200, "OK", Some(item), etag_header());
            operation.error(spec.not_found_doc());
        }
        Op::Create => {
            Valid::<R::New>::describe(operation);
            operation.error(spec.conflict_doc());
            let view = operation.schemas().output::<R::View>();
            let mut headers = etag_header();
            headers["Location"] =
                json!({ "description": "Where it is.", "schema": { "type": "string", "format": "uri-reference" } });
            operation.success(201, "Created", Some(view), headers);
        }
        Op::Update => {
            Path::<Id<R::Kind>>::describe(operation);
            Precondition::describe(operation);
            Valid::<R::Patch>::describe(operation);
            operation.error(spec.not_found_doc());
            operation.error(spec.conflict_doc());
            let view = operation.schemas().output::<R::View>();
            operation.success(200, "Changed", Some(view), etag_header());
        }
        Op::Delete => {
            Path::<Id<R::Kind>>::describe(operation);
            Precondition::describe(operation);
            operation.error(spec.not_found_doc());
            operation.error(spec.conflict_doc());
            operation.success(204, "Deleted", None, json!({}));
        }
    }
    let mut docs = Vec::new();
    StoreError::describe(&mut docs);
    docs.into_iter().for_each(|doc| operation.error(doc));
}

fn etag_header() -> Json {
    json!({ "ETag": { "description": "Names this state; send it as `If-Match` to change just this.", "schema": { "type": "string" } } })
}

/// One item of an answer: whole, or the parts that `fields` and `include` ask for.
fn item_schema<R: Resource>(shared: &ResourceState, operation: &mut Operation<'_>) -> Json {
    let schemas = operation.schemas();
    let whole = schemas.output::<R::View>();
    let part = schemas.output::<R::Part>();
    for relation in &shared.relations {
        let one = (relation.loader.schema)(schemas);
        let schema = if relation.loader.is_many {
            json!({ "type": "array", "items": one })
        } else {
            json!({ "anyOf": [one, { "type": "null" }] })
        };
        schemas.extend(&format!("{}Part", shared.spec.type_name), relation.include.name, schema);
    }
    json!({ "anyOf": [whole, part] })
}

fn describe_reader(spec: &Spec, operation: &mut Operation<'_>) {
    match spec.read {
        Read::Anyone | Read::OwnerOr(_) => Caller::<Anyone>::describe(operation),
        Read::Owner => Caller::<User>::describe(operation),
        Read::Admin => Caller::<Admin>::describe(operation),
    }
}

fn describe_writer(spec: &Spec, operation: &mut Operation<'_>) {
    match spec.write {
        Write::Owner => {
            Caller::<User>::describe(operation);
            let mut docs = Vec::new();
            AccessError::describe(&mut docs);
            docs.into_iter().filter(|d| d.name == "forbidden").for_each(|doc| operation.error(doc));
        }
        Write::Admin => Caller::<Admin>::describe(operation),
    }
}

async fn reader(spec: &Spec, request: &mut Request) -> Result<Ctx, Problem> {
    Ok(match spec.read {
        Read::Anyone | Read::OwnerOr(_) => Caller::<Anyone>::extract(request).await?.ctx().clone(),
        Read::Owner => Caller::<User>::extract(request).await?.ctx().clone(),
        Read::Admin => Caller::<Admin>::extract(request).await?.ctx().clone(),
    })
}

async fn writer(spec: &Spec, request: &mut Request) -> Result<(Ctx, UserId), Problem> {
    match spec.write {
        Write::Owner => Caller::<User>::extract(request).await.map(|c| (c.ctx().clone(), c.user_id())),
        Write::Admin => Caller::<Admin>::extract(request).await.map(|c| (c.ctx().clone(), c.user_id())),
    }
}

fn service<T: Clone + Send + Sync + 'static>(request: &Request) -> Result<T, Problem> {
    // The façade puts the store and the cursors into every app.
    request.api().state().get::<T>().cloned().ok_or_else(|| RequestError::Unwritable.into())
}

fn response(status: StatusCode, bytes: impl Into<Bytes>) -> Response {
    let mut response = Response::new(web::Body::new(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value).map_err(|_| RequestError::Unwritable.into())
}

/// A whole row as an answer, with its tag: the tag of a GET's bytes.
fn whole<R: Resource>(status: StatusCode, row: &R, etags: ETags) -> Result<Response, Problem> {
    let bytes = bytes(&row.view())?;
    let tag = etags.of(&bytes);
    let mut response = response(status, bytes);
    if let Ok(tag) = HeaderValue::from_str(tag.as_str()) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

/// The one query that neither lists nor changes: `fields` and `include` of a single row.
fn read_selection(shared: &ResourceState, query: &str) -> Result<Selection, Problem> {
    let mut selection = Selection::default();
    let mut errors = ValidationErrors::new();
    for (name, text) in parse_pairs(query)? {
        match name.as_ref() {
            "fields" => selection.read_fields(shared.spec, &text, &mut errors),
            "include" => selection.read_include(&shared.relations, &text, &mut errors),
            other => {
                let shown: String = other.chars().take(100).collect();
                errors.add(RequestPart::Query, format!("/{shown}"), "unknown_field", NO_PARAMETER);
            }
        }
    }
    if errors.is_empty() { Ok(selection) } else { Err(RequestError::Invalid(errors.into()).into()) }
}

/// Operations without parameters in the query refuse them.
fn refuse_query(request: &Request) -> Result<(), Problem> {
    if request.query().is_empty() {
        return Ok(());
    }
    let mut errors = ValidationErrors::new();
    for (name, _) in parse_pairs(request.query())? {
        let shown: String = name.chars().take(100).collect();
        let message = text!("this operation takes no parameters in the query");
        errors.add(RequestPart::Query, format!("/{shown}"), "unknown_field", message);
    }
    Err(RequestError::Invalid(errors.into()).into())
}

async fn list<R: Resource>(mut request: Request, shared: Arc<ResourceState>) -> Result<Response, Problem> {
    let spec = shared.spec;
    let ctx = reader(spec, &mut request).await?;
    let (store, cursors): (Store, Cursors) = (service(&request)?, service(&request)?);
    let query = ListQuery::read(spec, &shared.relations, &cursors, request.query())?;
    let most_bytes = request.api().settings().page_bytes;
    // What is included changes by itself, and nobody would say so here.
    let body = match &shared.kept.lists {
        Some(lists) if query.selection.includes_nothing() => {
            let key = shared.kept.list_key(spec, ctx.identity(), request.query());
            let load = || async {
                // From the primary: what one person may see late is not to be kept for all.
                let body =
                    load_list::<R>(&ctx, &shared, &store, &cursors, &query, store.read(&ctx), most_bytes).await?;
                Ok::<_, NotLoaded>(Some(body))
            };
            let found = lists.get(&ctx, &key, load).await.map_err(|NotLoaded(problem)| problem)?;
            found.as_deref().cloned().unwrap_or_default()
        }
        _ => {
            load_list::<R>(&ctx, &shared, &store, &cursors, &query, store.read(&ctx).may_be_behind(), most_bytes)
                .await?
        }
    };
    Ok(response(StatusCode::OK, body))
}

async fn load_list<R: Resource>(
    ctx: &Ctx,
    shared: &ResourceState,
    store: &Store,
    cursors: &Cursors,
    query: &ListQuery,
    read: store::Read<'_>,
    most_bytes: usize,
) -> Result<Bytes, Problem> {
    let (spec, identity) = (shared.spec, ctx.identity());
    let breadth = match query.breadth_sql(spec) {
        Some(sql) => {
            let counted: Vec<(i64,)> = read.rows(&sql.text, &sql.params).await?;
            counted.first().map(|(count,)| ListQuery::breadth(*count))
        }
        None => None,
    };
    let page = query.page_sql(&shared.statements.select, spec, identity, breadth);
    // Rows are at most as long as what is written of them, but for columns that nobody sees.
    let (rows, is_cut): (Vec<R>, bool) = read.page(&page.text, &page.params, most_bytes).await?;
    let total: Option<i64> = if query.wants_total {
        let count = query.total_sql(spec, identity);
        let counted: Vec<(i64,)> = read.rows(&count.text, &count.params).await?;
        counted.first().map(|(n,)| *n)
    } else {
        None
    };
    let mut wanted = rows.len().min(query.limit);
    let mut page = PageWriter::new(most_bytes);
    if query.selection.is_plain() {
        page.fill(rows[..wanted].iter().map(Resource::view))?;
    } else {
        let rendered = loop {
            match query.selection.render(ctx, store, &rows[..wanted]).await {
                // What is included is too much to be held: of half as many it may not be.
                Err(StoreError::TooLarge) if wanted > 1 => wanted = wanted.div_ceil(2),
                rendered => break rendered?,
            }
        };
        page.fill(rendered)?;
    }
    let has_more = is_cut || page.items < rows.len();
    let last = if has_more { page.items.checked_sub(1).and_then(|last| rows.get(last)) } else { None };
    page.end(last.map(|row| query.cursor_after(cursors, row)), total)
}

/// A page while it is written: it ends before the item that would make it too long, unless that is the first.
struct PageWriter {
    bytes: Vec<u8>,
    items: usize,
    most_bytes: usize,
}

impl PageWriter {
    fn new(most_bytes: usize) -> Self {
        Self { bytes: br#"{"items":["#.to_vec(), items: 0, most_bytes }
    }

    fn fill(&mut self, items: impl IntoIterator<Item = impl Serialize>) -> Result<(), Problem> {
        for item in items {
            let before = self.bytes.len();
            if self.items > 0 {
                self.bytes.push(b',');
            }
            serde_json::to_writer(&mut self.bytes, &item).map_err(|_| RequestError::Unwritable)?;
            if self.items > 0 && self.bytes.len() > self.most_bytes {
                self.bytes.truncate(before);
                break;
            }
            self.items += 1;
        }
        Ok(())
    }

    fn end(mut self, next_cursor: Option<String>, total: Option<i64>) -> Result<Bytes, Problem> {
        #[derive(Serialize)]
        struct End {
            next_cursor: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            total: Option<i64>,
        }
        let end = bytes(&End { next_cursor, total })?;
        self.bytes.extend_from_slice(b"],");
        // Without the brace that opens it.
        self.bytes.extend_from_slice(end.get(1..).unwrap_or_default());
        Ok(self.bytes.into())
    }
}

async fn get<R: Resource>(mut request: Request, shared: Arc<ResourceState>) -> Result<Response, Problem> {
    let spec = shared.spec;
    let ctx = reader(spec, &mut request).await?;
    let Path(id) = Path::<Id<R::Kind>>::extract(&mut request).await?;
    let selection =
        if request.query().is_empty() { Selection::default() } else { read_selection(&shared, request.query())? };
    let store: Store = service(&request)?;
    if let Some(rows) = &shared.kept.rows
        && selection.is_plain()
    {
        let load = || async {
            let row: Option<R> = store
                .read(&ctx)
                .row_by_id(&shared.statements.select_by_id, id.as_uuid())
                .await
                .map_err(Problem::from)?;
            Ok::<_, NotLoaded>(
                row.map(|row| bytes(&row.view()).map(|body| KeptRow::new(&row, body, shared.etags))).transpose()?,
            )
        };
        let key = shared.kept.row_key(id.as_uuid());
        let row = rows.get(&ctx, &key, load).await.map_err(|NotLoaded(problem)| problem)?;
        let row = row.filter(|row| row.may_be_read(spec, ctx.identity())).ok_or_else(|| spec.not_found())?;
        let mut response = response(StatusCode::OK, row.body.clone());
        response.headers_mut().extend(row.tag.clone().map(|tag| (ETAG, tag)));
        return Ok(response);
    }
    let row: Option<R> = store.read(&ctx).row_by_id(&shared.statements.select_by_id, id.as_uuid()).await?;
    let row = row.filter(|row| spec.may_read(ctx.identity(), row)).ok_or_else(|| spec.not_found())?;
    if selection.is_plain() {
        return Ok(response(StatusCode::OK, bytes(&row.view())?));
    }
    let mut rendered = selection.render(&ctx, &store, &[row]).await?;
    Ok(response(StatusCode::OK, bytes(&rendered.pop().unwrap_or_default())?))
}

async fn read_body<T: InputType>(request: &mut Request) -> Result<T, Problem> {
    Valid::<T>::extract(request).await.map(|Valid(value)| value)
}

async fn create<R: Resource>(mut request: Request, shared: Arc<ResourceState>) -> Result<Response, Problem> {
    let spec = shared.spec;
    let (ctx, user_id) = writer(spec, &mut request).await?;
    refuse_query(&request)?;
    let new: R::New = read_body(&mut request).await?;
    let store: Store = service(&request)?;
    drop(request);
    let id: Id<R::Kind> = ctx.new_id();
    let mut values = own_values(spec, id.into(), Some(user_id), ctx.now());
    values.extend(R::create_values(new));
    let statement = shared.statements.insert(spec, values);
    let written = store.write_row(&ctx, statement.text, statement.params, vec![caching::lists_of::<R>()]).await;
    let row: R = written.map_err(|error| spec.store_problem(error))?;
    created(&row, shared.etags)
}

/// The answer to the creation of a row.
fn created<R: Resource>(row: &R, etags: ETags) -> Result<Response, Problem> {
    let mut response = whole(StatusCode::CREATED, row, etags)?;
    let location = format!("{}{}/{}", web::ApiBuilder::BASE_PATH, R::SPEC.path, row.id());
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// The row, where the caller may change it: absent for those who may not see it, forbidden for those who may only see it.
async fn take_for_change<R: Resource>(
    tx: &store::Tx,
    shared: &ResourceState,
    id: Id<R::Kind>,
    identity: &Identity,
    precondition: &Precondition,
) -> Result<R, Problem> {
    let spec = shared.spec;
    let row: Option<R> = tx.row(shared.statements.select_by_id.one(), &[id.into()]).await?;
    let row = row.ok_or_else(|| spec.not_found())?;
    if !spec.may_write(identity, &row) {
        return Err(if spec.may_read(identity, &row) { AccessError::Forbidden.into() } else { spec.not_found() });
    }
    if precondition.is_stated() {
        precondition.check(&shared.etags.of(&bytes(&row.view())?))?;
    }
    Ok(row)
}

async fn update<R: Resource>(mut request: Request, shared: Arc<ResourceState>) -> Result<Response, Problem> {
    let spec = shared.spec;
    let (ctx, _) = writer(spec, &mut request).await?;
    let Path(id) = Path::<Id<R::Kind>>::extract(&mut request).await?;
    refuse_query(&request)?;
    let precondition = Precondition::extract(&mut request).await?;
    let patch: R::Patch = read_body(&mut request).await?;
    let store: Store = service(&request)?;
    drop(request);
    let mut values = R::patch_values(patch);
    let is_change = !values.is_empty();
    values.extend(spec.updated.map(|column| (column, ctx.now().into())));
    let statement = Arc::new(shared.statements.update(spec, id.into(), values));
    let etags = shared.etags;
    let row: R = store
        .tx::<_, Problem, _, _>(&ctx, move |tx| {
            let (shared, statement, precondition) = (shared.clone(), statement.clone(), precondition.clone());
            async move {
                let identity = *tx.ctx().identity();
                let row: R = take_for_change(&tx, &shared, id, &identity, &precondition).await?;
                if !is_change {
                    return Ok(row);
                }
                let row = tx.row(&statement.text, &statement.params).await.map_err(|e| shared.spec.store_problem(e))?;
                caching::touch::<R>(&tx, id);
                row.ok_or_else(|| shared.spec.not_found())
            }
        })
        .await?;
    whole(StatusCode::OK, &row, etags)
}

async fn delete<R: Resource>(mut request: Request, shared: Arc<ResourceState>) -> Result<Response, Problem> {
    let spec = shared.spec;
    let (ctx, _) = writer(spec, &mut request).await?;
    let Path(id) = Path::<Id<R::Kind>>::extract(&mut request).await?;
    refuse_query(&request)?;
    let precondition = Precondition::extract(&mut request).await?;
    let store: Store = service(&request)?;
    drop(request);
    store
        .tx::<_, Problem, _, _>(&ctx, move |tx| {
            let (shared, precondition) = (shared.clone(), precondition.clone());
            async move {
                let identity = *tx.ctx().identity();
                take_for_change::<R>(&tx, &shared, id, &identity, &precondition).await?;
                tx.execute(&shared.statements.delete, &[id.into()]).await.map_err(|e| shared.spec.store_problem(e))?;
                caching::touch::<R>(&tx, id);
                Ok(())
            }
        })
        .await?;
    let mut response = Response::new(web::Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
