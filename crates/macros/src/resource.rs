use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Expr, Field, Fields, Ident, LitStr, Result, Token, Type, parse2};

use crate::attributes::{Seconds, docs, error, snake_case};

/// What `#[resource(…)]` says of the struct.
struct Whole {
    name: String,
    plural: String,
    table: String,
    path: String,
    read: Access,
    write: Access,
    includes: Vec<IncludeSpec>,
    cache: Option<Seconds>,
    cache_lists: Option<Seconds>,
    limits: Vec<LitStr>,
}

enum Access {
    Anyone,
    Owner,
    OwnerOr(Ident),
    Admin,
}

struct IncludeSpec {
    name: Ident,
    loader: LitStr,
    key: Ident,
}

impl Parse for IncludeSpec {
    /// `author = "users.by_id" by author_id`
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![=]>()?;
        let loader = input.parse()?;
        let by: Ident = input.parse()?;
        if by != "by" {
            return Err(error(&by, "an include is written `author = \"users.by_id\" by author_id`"));
        }
        Ok(Self { name, loader, key: input.parse()? })
    }
}

impl Parse for Access {
    /// `anyone`, `owner`, `owner_or(published)`, `admin`
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let word: Ident = input.parse()?;
        Ok(match word.to_string().as_str() {
            "anyone" => Self::Anyone,
            "owner" => Self::Owner,
            "admin" => Self::Admin,
            "owner_or" => {
                let inner;
                syn::parenthesized!(inner in input);
                Self::OwnerOr(inner.parse()?)
            }
            _ => return Err(error(&word, "access is `anyone`, `owner`, `owner_or(column)` or `admin`")),
        })
    }
}

impl Whole {
    fn read(item: &DeriveInput) -> Result<Self> {
        let name = snake_case(&item.ident.to_string());
        let mut whole = Self {
            plural: format!("{name}s"),
            table: String::new(),
            path: String::new(),
            name,
            read: Access::Owner,
            write: Access::Owner,
            includes: Vec::new(),
            cache: None,
            cache_lists: None,
            limits: Vec::new(),
        };
        for attr in item.attrs.iter().filter(|a| a.path().is_ident("resource")) {
            attr.parse_nested_meta(|meta| {
                let text = |meta: &syn::meta::ParseNestedMeta<'_>| -> Result<String> {
                    Ok(meta.value()?.parse::<LitStr>()?.value())
                };
                match &meta.path {
                    p if p.is_ident("name") => whole.name = text(&meta)?,
                    p if p.is_ident("plural") => whole.plural = text(&meta)?,
                    p if p.is_ident("table") => whole.table = text(&meta)?,
                    p if p.is_ident("path") => whole.path = text(&meta)?,
                    p if p.is_ident("read") => whole.read = meta.value()?.parse()?,
                    p if p.is_ident("write") => whole.write = meta.value()?.parse()?,
                    p if p.is_ident("cache") => whole.cache = Some(meta.value()?.parse()?),
                    p if p.is_ident("cache_lists") => whole.cache_lists = Some(meta.value()?.parse()?),
                    p if p.is_ident("limit") => whole.limits.push(meta.value()?.parse()?),
                    p if p.is_ident("include") => {
                        let inner;
                        syn::parenthesized!(inner in meta.input);
                        let list = inner.parse_terminated(IncludeSpec::parse, Token![,])?;
                        whole.includes.extend(list);
                    }
                    _ => {
                        return Err(meta.error(
                            "a resource has name, plural, table, path, read, write, include, cache, cache_lists and limit",
                        ));
                    }
                }
                Ok(())
            })?;
        }
        if whole.table.is_empty() {
            whole.table.clone_from(&whole.plural);
        }
        if whole.path.is_empty() {
            whole.path = format!("/{}", whole.plural);
        }
        Ok(whole)
    }
}

/// What `#[resource(…)]` says of a field.
#[derive(Default)]
struct Roles {
    is_owner: bool,
    is_created: bool,
    is_updated: bool,
    is_hidden: bool,
    is_write: bool,
    is_filter: bool,
    is_sort: bool,
    default: Option<Expr>,
    example: Option<Expr>,
}

impl Roles {
    fn read(field: &Field) -> Result<Self> {
        let mut roles = Self::default();
        for attr in field.attrs.iter().filter(|a| a.path().is_ident("resource")) {
            attr.parse_nested_meta(|meta| {
                match &meta.path {
                    p if p.is_ident("owner") => roles.is_owner = true,
                    p if p.is_ident("created") => roles.is_created = true,
                    p if p.is_ident("updated") => roles.is_updated = true,
                    p if p.is_ident("hidden") => roles.is_hidden = true,
                    p if p.is_ident("write") => roles.is_write = true,
                    p if p.is_ident("filter") => roles.is_filter = true,
                    p if p.is_ident("sort") => roles.is_sort = true,
                    p if p.is_ident("default") => roles.default = Some(meta.value()?.parse()?),
                    p if p.is_ident("example") => roles.example = Some(meta.value()?.parse()?),
                    _ => {
                        return Err(meta.error(
                            "a field is owner, created, updated, hidden, write, filter, sort, or has `default = …` or \
                             `example = …`",
                        ));
                    }
                }
                Ok(())
            })?;
        }
        Ok(roles)
    }
}

fn checks(field: &Field) -> Vec<&Attribute> {
    field.attrs.iter().filter(|a| a.path().is_ident("check")).collect()
}

fn doc_attr(field: &Field) -> TokenStream {
    let text = docs(&field.attrs);
    let text = if text.is_empty() {
        format!("The {}.", field.ident.as_ref().map(ToString::to_string).unwrap_or_default())
    } else {
        text
    };
    quote!(#[doc = #text])
}

fn seconds(value: &Option<Seconds>) -> TokenStream {
    match value {
        Some(Seconds(seconds)) => quote!(::core::option::Option::Some(#seconds)),
        None => quote!(::core::option::Option::None),
    }
}

fn is_option(ty: &Type) -> bool {
    crate::attributes::last_name(ty).as_deref() == Some("Option")
}

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = parse2(item)?;
    let ident = &item.ident;
    let Data::Struct(data) = &item.data else { return Err(error(ident, "a resource is a struct")) };
    let Fields::Named(named) = &data.fields else { return Err(error(ident, "a resource has named fields")) };
    let whole = Whole::read(&item)?;
    let fields: Vec<&Field> = named.named.iter().collect();
    let first = fields.first().and_then(|f| f.ident.as_ref()).map(ToString::to_string);
    if first.as_deref() != Some("id") {
        return Err(error(ident, "the first field of a resource is `id`"));
    }
    let roles = fields.iter().map(|f| Roles::read(f)).collect::<Result<Vec<_>>>()?;
    let index_of = |name: &Ident| -> Result<usize> {
        fields.iter().position(|f| f.ident.as_ref() == Some(name)).ok_or_else(|| error(name, "there is no such field"))
    };
    let position = |pick: fn(&Roles) -> bool| match roles.iter().position(pick) {
        Some(i) => quote!(::core::option::Option::Some(#i)),
        None => quote!(::core::option::Option::None),
    };
    let (owner, created, updated) = (position(|r| r.is_owner), position(|r| r.is_created), position(|r| r.is_updated));
    let has_owner = roles.iter().any(|r| r.is_owner);
    let module = quote!(::mainstay::resource);

    let read = match &whole.read {
        Access::Anyone => quote!(#module::Read::Anyone),
        Access::Admin => quote!(#module::Read::Admin),
        Access::Owner => quote!(#module::Read::Owner),
        Access::OwnerOr(column) => {
            let i = index_of(column)?;
            quote!(#module::Read::OwnerOr(#i))
        }
    };
    let write = match &whole.write {
        Access::Owner => quote!(#module::Write::Owner),
        Access::Admin => quote!(#module::Write::Admin),
        _ => return Err(error(ident, "`write` is `owner` or `admin`")),
    };
    let needs_owner = matches!(whole.read, Access::Owner | Access::OwnerOr(_)) || matches!(whole.write, Access::Owner);
    if needs_owner && !has_owner {
        return Err(error(
            ident,
            "somebody must own it: mark a `UserId` field `#[resource(owner)]`, or say `read = anyone` (or `admin`) and `write = admin`",
        ));
    }

    let columns = fields.iter().zip(&roles).map(|(field, role)| {
        let name = field.ident.as_ref().map(|i| i.to_string().trim_start_matches("r#").to_owned()).unwrap_or_default();
        let ty = &field.ty;
        let (visible, filter, sort) = (!role.is_hidden, role.is_filter, role.is_sort);
        quote_spanned!(ty.span() => #module::Column {
            name: #name,
            kind: <#ty as #module::FieldType>::KIND,
            is_nullable: <#ty as #module::FieldType>::IS_NULLABLE,
            is_visible: #visible,
            is_filter: #filter,
            is_sort: #sort,
            parse: <#ty as #module::FieldType>::parse,
            schema: <#ty as #module::FieldType>::schema,
        })
    });
    let includes = whole
        .includes
        .iter()
        .map(|include| {
            let (name, loader, key) = (include.name.to_string(), &include.loader, index_of(&include.key)?);
            Ok(quote!(#module::Include { name: #name, loader: #loader, key: #key }))
        })
        .collect::<Result<Vec<_>>>()?;

    let (view, part) = (format_ident!("{ident}View"), format_ident!("{ident}Part"));
    let (new, patch) = (format_ident!("New{ident}"), format_ident!("{ident}Patch"));
    let visible: Vec<&&Field> = fields.iter().zip(&roles).filter(|(_, r)| !r.is_hidden).map(|(f, _)| f).collect();
    let view_fields = visible.iter().map(|f| {
        let (name, ty, doc) = (&f.ident, &f.ty, doc_attr(f));
        quote!(#doc pub #name: #ty)
    });
    let part_fields = visible.iter().map(|f| {
        let (name, ty, doc) = (&f.ident, &f.ty, doc_attr(f));
        quote!(#doc #[serde(skip_serializing_if = "::core::option::Option::is_none")] pub #name: ::core::option::Option<#ty>)
    });
    let view_values = visible.iter().map(|f| {
        let name = &f.ident;
        quote!(#name: ::core::clone::Clone::clone(&self.#name))
    });
    let value_arms = fields.iter().enumerate().map(|(i, f)| {
        let name = &f.ident;
        quote!(#i => ::core::convert::Into::into(::core::clone::Clone::clone(&self.#name)))
    });

    let written: Vec<(usize, &&Field, &Roles)> =
        fields.iter().zip(&roles).enumerate().filter(|(_, (_, r))| r.is_write).map(|(i, (f, r))| (i, f, r)).collect();
    let mut new_fields = Vec::new();
    let mut new_values = Vec::new();
    let mut patch_fields = Vec::new();
    let mut patch_values = Vec::new();
    let mut default_functions = Vec::new();
    for (i, field, role) in &written {
        let (name, ty, doc, rules) = (&field.ident, &field.ty, doc_attr(field), checks(field));
        let default = role.default.as_ref().map(|value| {
            let function = format_ident!("default_{}_{}", whole.name, i);
            default_functions.push(quote!(fn #function() -> #ty { ::core::convert::Into::into(#value) }));
            let function = function.to_string();
            quote!(#[serde(default = #function)])
        });
        let optional = (default.is_none() && is_option(ty)).then(|| quote!(#[serde(default)]));
        let example = role.example.as_ref().map(|value| quote!(#[schemars(example = &#value)]));
        new_fields.push(quote!(#doc #(#rules)* #default #optional #example pub #name: #ty));
        new_values.push(quote!((#i, ::core::convert::Into::into(new.#name))));
        patch_fields.push(quote!(#doc #(#rules)* #example pub #name: ::mainstay::web::PatchField<#ty>));
        patch_values.push(quote!(if let ::mainstay::web::PatchField::To(value) = patch.#name {
            values.push((#i, ::core::convert::Into::into(value)));
        }));
    }

    let (name, plural, table, path, type_name) =
        (&whole.name, &whole.plural, &whole.table, &whole.path, ident.to_string());
    let lists = format!("{}.list", whole.table);
    let (cache, cache_lists, limits) = (seconds(&whole.cache), seconds(&whole.cache_lists), &whole.limits);
    let (not_found, conflict) = (format!("{name}_not_found"), format!("{name}_conflict"));
    let id_type = &fields[0].ty;
    let docs_text = docs(&item.attrs);
    let docs_text = if docs_text.is_empty() { format!("A {name}.") } else { docs_text };
    let (new_doc, patch_doc, part_doc) = (
        format!("What creates a {name}."),
        format!("What changes a {name}; what is not sent stays."),
        format!("Some fields of a {name}, as `fields` and `include` ask."),
    );
    let vis = &item.vis;

    Ok(quote! {
        #(#default_functions)*

        #[doc = #new_doc]
        #[::mainstay::input]
        #[derive(Debug, Clone)]
        #vis struct #new { #(#new_fields),* }

        #[doc = #patch_doc]
        #[::mainstay::input]
        #[derive(Debug, Clone)]
        #vis struct #patch { #(#patch_fields),* }

        #[doc = #docs_text]
        #[::mainstay::view]
        #[derive(Debug, Clone)]
        #vis struct #view { #(#view_fields),* }

        #[doc = #part_doc]
        #[::mainstay::view]
        #[derive(Debug, Clone)]
        #vis struct #part { #(#part_fields),* }

        #[automatically_derived]
        impl #module::Resource for #ident {
            type Kind = <#id_type as ::mainstay::kernel::IdOf>::Kind;
            type New = #new;
            type Patch = #patch;
            type View = #view;
            type Part = #part;

            const SPEC: &'static #module::Spec = &#module::Spec {
                name: #name,
                plural: #plural,
                type_name: #type_name,
                path: #path,
                table: #table,
                columns: &[#(#columns),*],
                owner: #owner,
                created: #created,
                updated: #updated,
                read: #read,
                write: #write,
                includes: &[#(#includes),*],
                lists: #lists,
                cache_s: #cache,
                cache_lists_s: #cache_lists,
                limits: &[#(#limits),*],
                not_found: #not_found,
                conflict: #conflict,
            };

            fn id(&self) -> #id_type {
                self.id
            }

            fn view(&self) -> #view {
                #view { #(#view_values),* }
            }

            fn value(&self, column: usize) -> ::mainstay::store::Value {
                match column {
                    #(#value_arms,)*
                    _ => ::mainstay::store::Value::Null,
                }
            }

            fn create_values(new: #new) -> ::std::vec::Vec<(usize, ::mainstay::store::Value)> {
                let _ = &new;
                ::std::vec![#(#new_values),*]
            }

            fn patch_values(patch: #patch) -> ::std::vec::Vec<(usize, ::mainstay::store::Value)> {
                let _ = &patch;
                #[allow(unused_mut, clippy::allow_attributes, reason = "a resource may have nothing to change")]
                let mut values = ::std::vec::Vec::new();
                #(#patch_values)*
                values
            }
        }
    })
}
