use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{FnArg, Ident, ItemFn, LitInt, LitStr, Result, ReturnType, Token, parse2};

use crate::attributes::{Seconds, docs, error, here};

struct RoutePath {
    path: LitStr,
    is_root: bool,
    limits: Vec<LitStr>,
    cost: Option<LitInt>,
    cache: Option<Seconds>,
    cache_of: Option<LitStr>,
}

impl Parse for RoutePath {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let path: LitStr = input.parse()?;
        let mut place = Self { path, is_root: false, limits: Vec::new(), cost: None, cache: None, cache_of: None };
        while input.peek(Token![,]) {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let word: Ident = input.parse()?;
            match word.to_string().as_str() {
                "root" => place.is_root = true,
                "limit" => {
                    input.parse::<Token![=]>()?;
                    place.limits.push(input.parse()?);
                }
                "cost" => {
                    input.parse::<Token![=]>()?;
                    place.cost = Some(input.parse()?);
                }
                "cache" => {
                    input.parse::<Token![=]>()?;
                    place.cache = Some(input.parse()?);
                }
                "cache_of" => {
                    input.parse::<Token![=]>()?;
                    place.cache_of = Some(input.parse()?);
                }
                _ => {
                    return Err(error(
                        &word,
                        "after the path can stand `root`, `limit = \"NAME\"`, `cost = NUMBER`, `cache = \"30s\"` and \
                         `cache_of = \"KIND\"`",
                    ));
                }
            }
        }
        Ok(place)
    }
}

pub(crate) fn expand(method: &str, attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let place: RoutePath = parse2(attribute)?;
    let path = place.path.value();
    if !path.starts_with('/') || (path.len() > 1 && path.ends_with('/')) {
        return Err(error(&place.path, "a path begins with a slash and does not end with one"));
    }
    let function: ItemFn = parse2(item)?;
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        return Err(error(&signature.fn_token, "an endpoint is an `async fn`"));
    }
    if !signature.generics.params.is_empty() {
        return Err(error(&signature.generics, "an endpoint has no type parameters: it is one operation"));
    }
    let docs_text = docs(&function.attrs);
    if docs_text.is_empty() {
        return Err(error(
            &signature.ident,
            "an endpoint needs a doc comment: its first line is the operation's summary",
        ));
    }
    let result = match &signature.output {
        ReturnType::Type(_, ty) => ty.clone(),
        ReturnType::Default => {
            return Err(error(
                &signature.ident,
                "an endpoint returns `Result<S, E>`: what it answers must be declared",
            ));
        }
    };
    let mut types = Vec::new();
    for argument in &signature.inputs {
        match argument {
            FnArg::Typed(typed) => types.push(typed.ty.clone()),
            FnArg::Receiver(receiver) => return Err(error(receiver, "an endpoint is a free function")),
        }
    }
    let names: Vec<Ident> = (0..types.len()).map(|i| format_ident!("argument_{i}", span = here())).collect();
    // One assertion for each type, at its place, so that the compiler points there.
    let input_checks = types.iter().map(|ty| {
        quote_spanned!(ty.span() => const _: () = {
            const fn is_an_endpoint_argument<T: ::mainstay::web::Input>() {}
            is_an_endpoint_argument::<#ty>();
        };)
    });
    let output_check = quote_spanned!(result.span() => const _: () = {
        const fn is_an_endpoint_result<T: ::mainstay::web::Output>() {}
        is_an_endpoint_result::<#result>();
    };);

    let (visibility, ident) = (&function.vis, &signature.ident);
    let id = ident.to_string();
    let method_name = format_ident!("{method}", span = here());
    let handler = {
        let mut inner = function.clone();
        inner.attrs.retain(|a| !a.path().is_ident("doc"));
        inner.vis = syn::Visibility::Inherited;
        inner
    };
    let root = place.is_root.then(|| quote!(.at_root()));
    let kept = match (&place.cache, &place.cache_of) {
        (Some(_), _) if method != "Get" => {
            return Err(error(&place.path, "only what a GET answers can be kept: `cache` is for `#[get]`"));
        }
        (None, Some(of)) => return Err(error(of, "say how long as well: `cache = \"30s\"`")),
        (None, None) => None,
        (Some(Seconds(seconds)), of) => {
            let of = of
                .as_ref()
                .map_or_else(|| quote!(::core::option::Option::None), |of| quote!(::core::option::Option::Some(#of)));
            Some(quote!(.cache_for(#seconds, #of)))
        }
    };
    let (limits, cost) = (&place.limits, place.cost.iter());
    Ok(quote! {
        #[doc = #docs_text]
        #[expect(non_camel_case_types, reason = "the endpoint has its handler's name")]
        #[derive(Debug, Clone, Copy)]
        #visibility struct #ident;

        #(#input_checks)*
        #output_check

        #[automatically_derived]
        impl ::mainstay::web::EndpointDef for #ident {
            fn endpoint(&self) -> ::mainstay::web::Endpoint {
                #handler
                let endpoint = ::mainstay::web::Endpoint::new(
                    ::mainstay::web::Method::#method_name,
                    #path,
                    #id,
                    #docs_text,
                    |operation| {
                        let _ = &operation;
                        #(<#types as ::mainstay::web::Input>::describe(operation);)*
                        <#result as ::mainstay::web::Output>::describe(operation);
                    },
                    ::std::sync::Arc::new(|mut request: ::mainstay::web::Request| ::std::boxed::Box::pin(async move {
                        let _ = &mut request;
                        #(let #names = <#types as ::mainstay::web::Input>::extract(&mut request).await?;)*
                        // What is left of the body is drained while the handler works.
                        ::core::mem::drop(request);
                        <#result as ::mainstay::web::Output>::into_response(#ident(#(#names),*).await)
                    })),
                )
                #root
                #(.limited_by(#limits))*
                #(.costing(#cost))*
                #kept;
                match <#result as ::mainstay::web::Output>::write_created() {
                    ::core::option::Option::Some(write_created) => endpoint.idempotent(write_created),
                    ::core::option::Option::None => endpoint,
                }
            }
        }
    })
}
