//! The handlers of a file, with what `utoipa::path` wrote about each.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{LitStr, Path, Token, bracketed};

pub(crate) struct Routes {
    tag: LitStr,
    description: LitStr,
    handlers: Punctuated<Path, Token![,]>,
}

impl Parse for Routes {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let tag = input.parse()?;
        input.parse::<Token![,]>()?;
        let description = input.parse()?;
        input.parse::<Token![,]>()?;
        let list;
        bracketed!(list in input);
        let handlers = Punctuated::parse_terminated(&list)?;
        input.parse::<Option<Token![,]>>()?;
        Ok(Self {
            tag,
            description,
            handlers,
        })
    }
}

impl Routes {
    pub(crate) fn expand(&self) -> TokenStream {
        let Self { tag, description, .. } = self;
        let handlers = self.handlers.iter().map(|handler| {
            let description = description_of(handler);
            quote!(.route::<#description, _, _>(#handler))
        });
        quote!(::berth_web::routing::Routes::new(#tag, #description) #(#handlers)*)
    }
}

/// The type that `utoipa::path` makes beside a handler.
fn description_of(handler: &Path) -> Path {
    let mut path = handler.clone();
    if let Some(last) = path.segments.last_mut() {
        last.ident = format_ident!("__path_{}", last.ident);
    }
    path
}
