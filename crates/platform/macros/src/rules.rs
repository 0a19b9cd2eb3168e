//! The rules of a field: what garde checks, and what the document says of them.

use proc_macro2::TokenStream;
use quote::quote;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, GenericArgument, Lit, Meta, PathArguments, Token, Type};

/// Text that PostgreSQL can store, and such text that is not blank.
const NO_NUL: &str = r"^[^\x00]*$";
const NOT_BLANK: &str = r"^[^\x00]*[^\s\x00][^\x00]*$";

/// Whether an attribute of a field is for `input` alone.
pub(crate) fn is_own(attribute: &Attribute) -> bool {
    attribute.path().is_ident("garde") || attribute.path().is_ident("references")
}

/// What a field accepts.
pub(crate) struct Rules {
    /// As garde writes them; none is written as `skip`.
    garde: Vec<TokenStream>,
    /// As utoipa writes them.
    schema: Vec<TokenStream>,
}

/// The type of a field, below `Option`.
pub(crate) struct Kind<'t> {
    pub(crate) value: &'t Type,
    pub(crate) is_optional: bool,
}

impl<'t> Kind<'t> {
    pub(crate) fn of(field: &'t Type) -> Self {
        match argument(field, "Option") {
            Some(value) => Kind {
                value,
                is_optional: true,
            },
            None => Kind {
                value: field,
                is_optional: false,
            },
        }
    }

    fn is_text(&self) -> bool {
        is_named(self.value, "String") || self.is_trimmed()
    }

    fn is_trimmed(&self) -> bool {
        is_named(self.value, "Trimmed")
    }

    /// The type that the document shows in place of one that utoipa does not know.
    pub(crate) fn described(&self) -> Option<TokenStream> {
        let as_text = ["Trimmed", "Decimal", "Base64"];
        as_text
            .iter()
            .any(|name| is_named(self.value, name))
            .then(|| quote!(String))
    }

    fn is_list(&self) -> bool {
        is_named(self.value, "Vec") || is_named(self.value, "List")
    }
}

impl Rules {
    /// Reads the attributes `garde` of a field.
    pub(crate) fn of(attributes: &[Attribute], kind: &Kind<'_>) -> syn::Result<Self> {
        let mut rules = Self {
            garde: Vec::new(),
            schema: Vec::new(),
        };
        let mut not_blank = false;
        for attribute in attributes.iter().filter(|one| one.path().is_ident("garde")) {
            let parsed = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?;
            for rule in parsed {
                if rule.path().is_ident("skip") {
                    continue;
                }
                not_blank |= kind.is_trimmed() && number(&rule, "min").is_some_and(|least| !is_zero(&least));
                not_blank |= custom(&rule).is_some_and(|name| name == "not_blank");
                rules.describe(&rule, kind);
                rules.garde.push(quote!(#rule));
            }
        }
        if let Some(list) = attributes.iter().find(|one| one.path().is_ident("references")) {
            let list: syn::LitStr = list.parse_args()?;
            rules
                .schema
                .push(quote!(extensions(("x-references" = json!(#list)))));
        }
        if is_named(kind.value, "Decimal") {
            rules
                .schema
                .push(quote!(pattern = r"^-?\d+(\.\d+)?$", example = "1"));
        }
        if is_named(kind.value, "Base64") {
            rules.schema.push(quote!(format = Byte, example = "YmVydGg="));
        }
        if kind.is_text() {
            rules.garde.push(quote!(custom(::berth_service::rules::no_nul)));
            rules.describe_text(not_blank);
        }
        Ok(rules)
    }

    fn describe(&mut self, rule: &Meta, kind: &Kind<'_>) {
        let name = rule
            .path()
            .get_ident()
            .map(ToString::to_string)
            .unwrap_or_default();
        let bounds = match (&*name, kind.is_list()) {
            ("length", true) => Some((quote!(min_items), quote!(max_items))),
            ("length", false) => Some((quote!(min_length), quote!(max_length))),
            ("range", _) => Some((quote!(minimum), quote!(maximum))),
            _ => None,
        };
        if let Some((least, most)) = bounds {
            let values = [(least, number(rule, "min")), (most, number(rule, "max"))];
            let given = values.into_iter().filter_map(|(key, value)| Some((key, value?)));
            self.schema
                .extend(given.map(|(key, value)| quote!(#key = #value)));
        }
        match (&*name, custom(rule).as_deref()) {
            ("email", _) => self.schema.push(quote!(format = Email)),
            ("url", _) => self.schema.push(quote!(format = Uri)),
            (_, Some("email_address")) => self
                .schema
                .extend([quote!(format = Email), quote!(max_length = 254)]),
            _ => {}
        }
        if let ("pattern", Meta::List(list)) = (&*name, rule)
            && let Ok(pattern) = list.parse_args::<syn::LitStr>()
        {
            self.schema.push(quote!(pattern = #pattern));
        }
    }

    fn describe_text(&mut self, not_blank: bool) {
        let is_described = self.schema.iter().any(|one| {
            let text = one.to_string();
            text.starts_with("pattern") || text.starts_with("format")
        });
        if !is_described {
            let pattern = if not_blank { NOT_BLANK } else { NO_NUL };
            self.schema.push(quote!(pattern = #pattern));
        }
    }

    /// The attribute `garde` of a field whose value is inside this many `Option`s.
    pub(crate) fn garde(&self, depth: usize) -> TokenStream {
        if self.garde.is_empty() {
            return quote!(#[garde(skip)]);
        }
        let rules = &self.garde;
        let mut wrapped = quote!(#(#rules),*);
        for _ in 0..depth {
            wrapped = quote!(inner(#wrapped));
        }
        quote!(#[garde(#wrapped)])
    }

    /// The attribute `schema` of a field, with what else it says.
    pub(crate) fn schema(&self, more: &[TokenStream]) -> TokenStream {
        let all = self.schema.iter().chain(more);
        match self.schema.is_empty() && more.is_empty() {
            true => TokenStream::new(),
            false => quote!(#[schema(#(#all),*)]),
        }
    }
}

fn is_named(found: &Type, name: &str) -> bool {
    matches!(found, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

/// The `T` of `name<T>`.
fn argument<'t>(found: &'t Type, name: &str) -> Option<&'t Type> {
    let Type::Path(path) = found else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(value) => Some(value),
            _ => None,
        },
        _ => None,
    }
}

/// The value of `min = 1` or `max = 9` in a rule.
fn number(rule: &Meta, key: &str) -> Option<Expr> {
    let Meta::List(list) = rule else { return None };
    let parsed = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
    parsed.ok()?.into_iter().find_map(|one| match one {
        Meta::NameValue(pair) if pair.path.is_ident(key) => Some(pair.value),
        _ => None,
    })
}

fn is_zero(value: &Expr) -> bool {
    matches!(value, Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) if number.base10_digits() == "0")
}

/// The last name of the function in `custom(function)`.
fn custom(rule: &Meta) -> Option<String> {
    let Meta::List(list) = rule else { return None };
    let path = list
        .path
        .is_ident("custom")
        .then(|| list.parse_args::<syn::Path>())?;
    Some(path.ok()?.segments.last()?.ident.to_string())
}
