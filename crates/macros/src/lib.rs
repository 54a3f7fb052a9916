#![doc = include_str!("../README.md")]

use proc_macro::TokenStream;

mod api_error;
mod attributes;
mod endpoint;
mod input;
mod resource;
mod row;

macro_rules! method {
    ($name:ident, $variant:literal, $verb:literal) => {
        #[doc = concat!("Makes an endpoint that answers ", $verb, ": `#[", stringify!($name), "(\"/path/{id}\")]`.")]
        /// The doc comment becomes summary and description, the arguments its inputs, the result its answers. With
        /// `root` after the path, it stands outside `/api/v1`.
        #[proc_macro_attribute]
        pub fn $name(attribute: TokenStream, item: TokenStream) -> TokenStream {
            endpoint::expand($variant, attribute.into(), item.into()).unwrap_or_else(|e| e.into_compile_error()).into()
        }
    };
}
method!(get, "Get", "GET");
method!(post, "Post", "POST");
method!(put, "Put", "PUT");
method!(patch, "Patch", "PATCH");
method!(delete, "Delete", "DELETE");

/// Makes a type that can be read from a body or a query: unknown fields are refused, `#[check(…)]` states the rules
/// (`length(min, max)` in characters or items, `range(min, max)`, `email`, `pattern = "…"`, `with = function`, and for text
/// its profile: `name`, `line`, `text` or `opaque`), and the schema says the same.
#[proc_macro_attribute]
pub fn input(_: TokenStream, item: TokenStream) -> TokenStream {
    input::expand_input(item.into()).unwrap_or_else(|e| e.into_compile_error()).into()
}

/// Makes a type that can be sent: serialized, with a schema.
#[proc_macro_attribute]
pub fn view(_: TokenStream, item: TokenStream) -> TokenStream {
    input::expand_view(item.into()).unwrap_or_else(|e| e.into_compile_error()).into()
}

/// Makes a domain's settings: every field has a default, unknown keys are refused, doc comments become the reference.
#[proc_macro_attribute]
pub fn settings(_: TokenStream, item: TokenStream) -> TokenStream {
    input::expand_settings(item.into()).unwrap_or_else(|e| e.into_compile_error()).into()
}

/// Makes a domain's closed error: each variant names its `Code` and what to tell the caller, as in
/// `#[api(NotFound, "There is no post with this id.")]`; the variant's doc comment is its meaning in the document.
/// `#[api(from)]` on a variant of one field passes another error through.
#[proc_macro_derive(ApiError, attributes(api))]
pub fn api_error(item: TokenStream) -> TokenStream {
    api_error::expand(item.into()).unwrap_or_else(|e| e.into_compile_error()).into()
}

/// Reads a struct from a row, its fields in order, and gives it `COLUMNS`.
#[proc_macro_derive(Row, attributes(row))]
pub fn row(item: TokenStream) -> TokenStream {
    row::expand(item.into()).unwrap_or_else(|e| e.into_compile_error()).into()
}

/// Makes a row type a resource: list, get, create, update and delete over HTTP. See `docs/how-to/add-a-resource.md`.
#[proc_macro_derive(Resource, attributes(resource, check))]
pub fn resource(item: TokenStream) -> TokenStream {
    resource::expand(item.into()).unwrap_or_else(|e| e.into_compile_error()).into()
}
