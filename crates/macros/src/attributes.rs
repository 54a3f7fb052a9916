//! What several macros read of a type: doc comments, wire names, `#[check]` rules.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Field, Lit, LitStr, Meta, Path, Result, Token, Type};

/// The text of a doc comment.
pub(crate) fn docs(attrs: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attr in attrs.iter().filter(|a| a.path().is_ident("doc")) {
        if let Meta::NameValue(pair) = &attr.meta
            && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value
        {
            let text = text.value();
            lines.push(text.strip_prefix(' ').unwrap_or(&text).to_owned());
        }
    }
    lines.join("\n").trim().to_owned()
}

/// The name of a field on the wire.
pub(crate) fn wire_name(field: &Field) -> Result<String> {
    let ident = field.ident.as_ref().ok_or_else(|| syn::Error::new(field.span(), "a named field is needed here"))?;
    let mut name = ident.to_string().trim_start_matches("r#").to_owned();
    for attr in field.attrs.iter().filter(|a| a.path().is_ident("serde")) {
        attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename") {
                name = meta.value()?.parse::<LitStr>()?.value();
            } else if meta.input.peek(Token![=]) {
                meta.value()?.parse::<Expr>()?;
            } else if meta.input.peek(syn::token::Paren) {
                meta.parse_nested_meta(|inner| {
                    if inner.input.peek(Token![=]) {
                        inner.value()?.parse::<Expr>()?;
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })?;
    }
    Ok(name)
}

/// The rules of one field.
#[derive(Default)]
pub(crate) struct Rules {
    length: Option<(Option<Expr>, Option<Expr>)>,
    range: Option<(Option<Expr>, Option<Expr>)>,
    email: bool,
    pattern: Option<LitStr>,
    with: Option<Path>,
}

fn min_max(meta: &syn::meta::ParseNestedMeta<'_>) -> Result<(Option<Expr>, Option<Expr>)> {
    let (mut min, mut max) = (None, None);
    meta.parse_nested_meta(|inner| {
        let slot = match &inner.path {
            path if path.is_ident("min") => &mut min,
            path if path.is_ident("max") => &mut max,
            _ => return Err(inner.error("`min` and `max` can stand here")),
        };
        *slot = Some(inner.value()?.parse()?);
        Ok(())
    })?;
    Ok((min, max))
}

impl Rules {
    /// The rules in the `#[check(…)]` attributes.
    pub(crate) fn read(attrs: &[Attribute]) -> Result<Self> {
        let mut rules = Self::default();
        for attr in attrs.iter().filter(|a| a.path().is_ident("check")) {
            attr.parse_nested_meta(|meta| {
                match &meta.path {
                    path if path.is_ident("length") => rules.length = Some(min_max(&meta)?),
                    path if path.is_ident("range") => rules.range = Some(min_max(&meta)?),
                    path if path.is_ident("email") => rules.email = true,
                    path if path.is_ident("pattern") => rules.pattern = Some(meta.value()?.parse()?),
                    path if path.is_ident("with") => rules.with = Some(meta.value()?.parse()?),
                    _ => return Err(meta.error("the rules are length, range, email, pattern and with")),
                }
                Ok(())
            })?;
        }
        Ok(rules)
    }

    /// The same rules for the schema.
    pub(crate) fn schema(&self, ty: &Type) -> TokenStream {
        let mut parts = Vec::new();
        let mut bounds = |name: TokenStream, (min, max): &(Option<Expr>, Option<Expr>)| {
            let min = min.as_ref().map(|e| quote!(min = #e,));
            let max = max.as_ref().map(|e| quote!(max = #e,));
            parts.push(quote!(#name(#min #max)));
        };
        if let Some(length) = &self.length {
            bounds(quote!(length), length);
        }
        if let Some(range) = &self.range {
            bounds(quote!(range), range);
        }
        if self.email {
            parts.push(quote!(email));
        }
        match &self.pattern {
            Some(pattern) => parts.push(quote!(extend("pattern" = #pattern))),
            None if is_text(ty) && !self.email => parts.push(quote!(extend("pattern" = "^[^\\u0000]*$"))),
            None => {}
        }
        if parts.is_empty() { TokenStream::new() } else { quote!(#[schemars(#(#parts),*)]) }
    }

    /// The same rules as calls, for the value `#value` (a reference).
    pub(crate) fn calls(&self, value: &TokenStream) -> TokenStream {
        let check = quote!(::mainstay::http::check);
        let option = |e: &Option<Expr>, float: bool| match e {
            Some(e) if float => quote!(::core::option::Option::Some((#e) as f64)),
            Some(e) => quote!(::core::option::Option::Some(#e)),
            None => quote!(::core::option::Option::None),
        };
        let length = self.length.as_ref().map(|(min, max)| {
            let (min, max) = (option(min, false), option(max, false));
            quote!(#check::length(#value, #min, #max, pointer, faults);)
        });
        let range = self.range.as_ref().map(|(min, max)| {
            let (min, max) = (option(min, true), option(max, true));
            quote!(#check::range(#value, #min, #max, pointer, faults);)
        });
        let email = self.email.then(|| quote!(#check::email(#value, pointer, faults);));
        let pattern = self.pattern.as_ref().map(|pattern| {
            quote! {
                static PATTERN: ::std::sync::LazyLock<::mainstay::__private::regex::Regex> = ::std::sync::LazyLock::new(
                    || ::mainstay::__private::regex::Regex::new(#pattern).expect("the pattern is a regular expression"),
                );
                #check::pattern(#value, &PATTERN, pointer, faults);
            }
        });
        let with = self.with.as_ref().map(|path| quote!(#check::with(#value, #path, pointer, faults);));
        quote!(#length #range #email #pattern #with)
    }
}

/// Whether a type is text, as far as its name tells: `String`, also inside `Option`, `Change` or `Secret`.
fn is_text(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let Some(last) = path.path.segments.last() else { return false };
    if last.ident == "String" {
        return true;
    }
    if ["Option", "Change", "Secret"].iter().any(|w| last.ident == w)
        && let syn::PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(syn::GenericArgument::Type(inner)) = arguments.args.first()
    {
        return is_text(inner);
    }
    false
}

/// The last name of a type's path: `Change` of `mainstay::Change<String>`.
pub(crate) fn last_name(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|s| s.ident.to_string()),
        _ => None,
    }
}

/// A `Check` call of one field, at its wire name.
pub(crate) fn check_field(field: &Field) -> Result<TokenStream> {
    let ident = field.ident.as_ref();
    let name = wire_name(field)?;
    let ty = &field.ty;
    let calls = Rules::read(&field.attrs)?.calls(&quote!(&self.#ident));
    let inner = quote_spanned!(ty.span() => <#ty as ::mainstay::http::Check>::check(&self.#ident, pointer, faults););
    Ok(quote!(pointer.at(#name, |pointer| { #inner #calls });))
}

/// `module::Type` as the mark that tells two types of one name apart.
pub(crate) fn type_mark(name: &str) -> TokenStream {
    quote!(extend("x-rust-type" = ::core::concat!(::core::module_path!(), "::", #name)))
}

/// An error at some tokens.
pub(crate) fn error(at: &impl ToTokens, message: &str) -> syn::Error {
    syn::Error::new_spanned(at, message)
}

/// Where nothing better is known.
pub(crate) fn here() -> Span {
    Span::call_site()
}

/// `PostTitle` as `post_title`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.char_indices() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// How long, as `"30s"`, `"5m"`, `"1h"` or `"1d"` says.
pub(crate) struct Seconds(pub(crate) u64);

impl syn::parse::Parse for Seconds {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        let text: syn::LitStr = input.parse()?;
        let value = text.value();
        let unit = match value.chars().last() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 60 * 60,
            Some('d') => 24 * 60 * 60,
            _ => 0,
        };
        let count = value.get(..value.len().saturating_sub(1)).and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
        match count.checked_mul(unit) {
            Some(seconds @ 1..=31_536_000) => Ok(Self(seconds)),
            _ => Err(error(&text, "how long is written `\"30s\"`, `\"5m\"`, `\"1h\"` or `\"1d\"`, up to a year")),
        }
    }
}
