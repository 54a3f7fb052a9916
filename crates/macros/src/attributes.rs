//! What several macros read of a type: doc comments, wire names, `#[check]` rules.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Field, Ident, Lit, LitStr, Meta, Path, Result, Token, Type};

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
    /// The variant of `TextProfile` that the field names.
    profile: Option<Ident>,
}

/// The words for a profile of text, and what each is called in `kernel`.
const PROFILES: [(&str, &str); 4] = [("name", "Name"), ("line", "Line"), ("text", "Text"), ("opaque", "Opaque")];

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
                    path => {
                        let Some((_, variant)) = PROFILES.iter().find(|(word, _)| path.is_ident(word)) else {
                            return Err(meta.error(
                                "the rules are length, range, email, pattern and with; the profiles of text are name, line, \
                                 text and opaque",
                            ));
                        };
                        if rules.profile.is_some() {
                            return Err(meta.error("a text has one profile: name, line, text or opaque"));
                        }
                        rules.profile = Some(Ident::new(variant, path.span()));
                    }
                }
                Ok(())
            })?;
        }
        Ok(rules)
    }

    /// The profile of the field's texts.
    fn profile(&self) -> TokenStream {
        match &self.profile {
            Some(variant) => quote!(::mainstay::kernel::TextProfile::#variant),
            None => quote!(::mainstay::kernel::TextProfile::Text),
        }
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
        if let Some(pattern) = &self.pattern {
            parts.push(quote!(extend("pattern" = #pattern)));
        }
        if self.profile.is_some() || is_text(ty) {
            let profile = if is_secret(ty) { quote!(::mainstay::kernel::TextProfile::Opaque) } else { self.profile() };
            parts.push(quote!(transform = ::mainstay::web::validate::Described(#profile)));
        }
        if parts.is_empty() { TokenStream::new() } else { quote!(#[schemars(#(#parts),*)]) }
    }

    /// The same rules as calls, for the value `#value` (a reference).
    pub(crate) fn calls(&self, value: &TokenStream) -> TokenStream {
        let validate = quote!(::mainstay::web::validate);
        let option = |e: &Option<Expr>, float: bool| match e {
            Some(e) if float => quote!(::core::option::Option::Some((#e) as f64)),
            Some(e) => quote!(::core::option::Option::Some(#e)),
            None => quote!(::core::option::Option::None),
        };
        let length = self.length.as_ref().map(|(min, max)| {
            let (min, max) = (option(min, false), option(max, false));
            quote!(#validate::length(#value, #min, #max, pointer, errors);)
        });
        let range = self.range.as_ref().map(|(min, max)| {
            let (min, max) = (option(min, true), option(max, true));
            quote!(#validate::range(#value, #min, #max, pointer, errors);)
        });
        let email = self.email.then(|| quote!(#validate::email(#value, pointer, errors);));
        let pattern = self.pattern.as_ref().map(|pattern| {
            quote! {
                static PATTERN: ::std::sync::LazyLock<::mainstay::__private::regex::Regex> = ::std::sync::LazyLock::new(
                    || ::mainstay::__private::regex::Regex::new(#pattern).expect("the pattern is a regular expression"),
                );
                #validate::pattern(#value, &PATTERN, pointer, errors);
            }
        });
        let with = self.with.as_ref().map(|path| quote!(#validate::with(#value, #path, pointer, errors);));
        quote!(#length #range #email #pattern #with)
    }
}

/// Whether a type is text or holds it, as far as its name tells: `String`, also inside `Option`, `PatchField`, `Secret`, `Box`,
/// or a list or map of it.
fn is_text(ty: &Type) -> bool {
    let is_holder = |name: &str| ["Option", "PatchField", "Secret", "Box", "Vec", "BTreeMap"].contains(&name);
    match last_name(ty).as_deref() {
        Some("String") => true,
        Some(name) if is_holder(name) => last_argument(ty).is_some_and(is_text),
        _ => false,
    }
}

/// Whether a type is a `Secret`, also inside `Option` and `PatchField`.
fn is_secret(ty: &Type) -> bool {
    match last_name(ty).as_deref() {
        Some("Secret") => true,
        Some("Option" | "PatchField") => last_argument(ty).is_some_and(is_secret),
        _ => false,
    }
}

/// `T` of `Option<T>` and of `BTreeMap<String, T>`.
fn last_argument(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let syn::PathArguments::AngleBracketed(arguments) = &path.path.segments.last()?.arguments else { return None };
    match arguments.args.last()? {
        syn::GenericArgument::Type(ty) => Some(ty),
        _ => None,
    }
}

/// The last name of a type's path: `PatchField` of `mainstay::PatchField<String>`.
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
    let rules = Rules::read(&field.attrs)?;
    let (calls, profile) = (rules.calls(&quote!(&self.#ident)), rules.profile());
    let inner = quote_spanned! { ty.span() =>
        <#ty as ::mainstay::web::Check>::check(&mut self.#ident, #profile, pointer, errors);
    };
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
