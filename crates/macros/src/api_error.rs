use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Data, DeriveInput, Fields, Ident, LitStr, Result, Token, parse2};

use crate::attributes::{docs, error, snake_case};

enum VariantKind {
    /// `#[api(from)]`
    From,
    /// `#[api(Code, "message")]`, optionally `name = "stable_name"`.
    Own { code: Ident, message: LitStr, name: Option<LitStr> },
}

impl Parse for VariantKind {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let code: Ident = input.parse()?;
        if code == "from" {
            return Ok(Self::From);
        }
        input.parse::<Token![,]>()?;
        let message: LitStr = input.parse()?;
        let mut name = None;
        if input.peek(Token![,]) {
            input.parse::<Token![,]>()?;
            if !input.is_empty() {
                let word: Ident = input.parse()?;
                if word != "name" {
                    return Err(error(&word, "only `name = \"…\"` can stand here"));
                }
                input.parse::<Token![=]>()?;
                name = Some(input.parse()?);
            }
        }
        Ok(Self::Own { code, message, name })
    }
}

/// The fields that stand in a message's places, each once. `{name}` alone is a place: the message is a text that other
/// languages have too, and how a value is written is its own affair (`Display`).
fn places(message: &LitStr, fields: &Fields) -> Result<Vec<Ident>> {
    let known: Vec<Ident> = match fields {
        Fields::Unit => Vec::new(),
        Fields::Named(named) => named.named.iter().filter_map(|f| f.ident.clone()).collect(),
        Fields::Unnamed(unnamed) => (0..unnamed.unnamed.len()).map(|i| format_ident!("_{i}")).collect(),
    };
    let text = message.value().replace("{{", "").replace("}}", "");
    let mut found: Vec<Ident> = Vec::new();
    for rest in text.split('{').skip(1) {
        let name = rest.split('}').next().unwrap_or_default();
        let Some(field) = known.iter().find(|field| *field == name) else {
            let all: Vec<String> = known.iter().map(|field| format!("`{{{field}}}`")).collect();
            let all = if all.is_empty() { "no place at all".to_owned() } else { all.join(", ") };
            return Err(error(message, &format!("`{{{name}}}` names no field of this variant: it can have {all}")));
        };
        if !found.contains(field) {
            found.push(field.clone());
        }
    }
    Ok(found)
}

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = parse2(item)?;
    let ident = &item.ident;
    let Data::Enum(data) = &item.data else { return Err(error(ident, "an API error is an enum: a closed list")) };
    let kernel = quote!(::mainstay::kernel);
    let (mut codes, mut names, mut messages, mut displays) = (vec![], vec![], vec![], vec![]);
    let (mut waits, mut fields, mut sources, mut described, mut froms) = (vec![], vec![], vec![], vec![], vec![]);
    for variant in &data.variants {
        let v = &variant.ident;
        let attr = variant.attrs.iter().find(|a| a.path().is_ident("api")).ok_or_else(|| {
            error(variant, "say what the caller sees: `#[api(NotFound, \"There is no …\")]`, or `#[api(from)]`")
        })?;
        match attr.parse_args::<VariantKind>()? {
            VariantKind::From => {
                let Fields::Unnamed(inner) = &variant.fields else {
                    return Err(error(variant, "`#[api(from)]` wraps one error: `Store(StoreError)`"));
                };
                if inner.unnamed.len() != 1 {
                    return Err(error(variant, "`#[api(from)]` wraps one error: `Store(StoreError)`"));
                }
                let ty = &inner.unnamed[0].ty;
                codes.push(quote!(Self::#v(inner) => #kernel::ApiError::code(inner)));
                names.push(quote!(Self::#v(inner) => #kernel::ApiError::name(inner)));
                messages.push(quote!(Self::#v(inner) => #kernel::ApiError::message(inner)));
                displays.push(quote!(Self::#v(inner) => ::core::fmt::Display::fmt(inner, f)));
                waits.push(quote!(Self::#v(inner) => #kernel::ApiError::retry_after(inner)));
                fields.push(quote!(Self::#v(inner) => #kernel::ApiError::fields(inner)));
                sources.push(quote!(Self::#v(inner) => ::core::option::Option::Some(inner)));
                described.push(quote!(<#ty as #kernel::ApiError>::describe(out);));
                froms.push(quote! {
                    #[automatically_derived]
                    impl ::core::convert::From<#ty> for #ident {
                        fn from(inner: #ty) -> Self {
                            Self::#v(inner)
                        }
                    }
                });
            }
            VariantKind::Own { code, message, name } => {
                let name = name.map_or_else(|| snake_case(&v.to_string()), |n| n.value());
                let documented = docs(&variant.attrs);
                let meaning = if documented.is_empty() { message.value() } else { documented.replace('\n', " ") };
                let pattern = match &variant.fields {
                    Fields::Unit => quote!(Self::#v),
                    Fields::Named(f) => {
                        let bound = f.named.iter().filter_map(|f| f.ident.as_ref());
                        quote!(Self::#v { #(#bound),* })
                    }
                    Fields::Unnamed(f) => {
                        let bound = (0..f.unnamed.len()).map(|i| format_ident!("_{i}"));
                        quote!(Self::#v(#(#bound),*))
                    }
                };
                let skipped = match &variant.fields {
                    Fields::Unit => quote!(Self::#v),
                    _ => quote!(Self::#v { .. }),
                };
                codes.push(quote!(#skipped => #kernel::Code::#code));
                names.push(quote!(#skipped => #name));
                let places = places(&message, &variant.fields)?;
                let said = places.iter().map(ToString::to_string);
                messages.push(quote! {
                    #pattern => #kernel::Text::plain(#message)
                        #(.with(#said, ::std::string::ToString::to_string(#places)))*
                });
                displays.push(quote!(#pattern => ::core::write!(f, #message)));
                described.push(
                    quote!(out.push(#kernel::ErrorDoc { code: #kernel::Code::#code, name: #name, meaning: #meaning });),
                );
            }
        }
    }
    Ok(quote! {
        #[automatically_derived]
        impl ::core::fmt::Display for #ident {
            #[allow(unused_variables, clippy::allow_attributes, reason = "a message need not name every field")]
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self { #(#displays),* }
            }
        }

        #[automatically_derived]
        impl ::std::error::Error for #ident {
            #[allow(unreachable_patterns, clippy::allow_attributes, reason = "every variant may wrap another error")]
            fn source(&self) -> ::core::option::Option<&(dyn ::std::error::Error + 'static)> {
                match self { #(#sources,)* _ => ::core::option::Option::None }
            }
        }

        #[automatically_derived]
        impl #kernel::ApiError for #ident {
            fn code(&self) -> #kernel::Code {
                match self { #(#codes),* }
            }

            fn name(&self) -> &'static str {
                match self { #(#names),* }
            }

            #[allow(unused_variables, clippy::allow_attributes, reason = "a message need not name every field")]
            fn message(&self) -> #kernel::Text {
                match self { #(#messages),* }
            }

            #[allow(unreachable_patterns, clippy::allow_attributes, reason = "every variant may wrap another error")]
            fn retry_after(&self) -> ::core::option::Option<::core::time::Duration> {
                match self { #(#waits,)* _ => ::core::option::Option::None }
            }

            #[allow(unreachable_patterns, clippy::allow_attributes, reason = "every variant may wrap another error")]
            fn fields(&self) -> &[#kernel::FieldError] {
                match self { #(#fields,)* _ => &[] }
            }

            fn describe(out: &mut ::std::vec::Vec<#kernel::ErrorDoc>) {
                #(#described)*
            }
        }

        #(#froms)*
    })
}
