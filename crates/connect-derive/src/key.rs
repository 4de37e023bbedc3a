//! What the attributes of a field say.

use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Field, Ident, Lit, LitStr, Meta, Token, Type};

/// A key, as its field describes it.
pub(crate) struct Key {
    pub(crate) field: Ident,
    pub(crate) ty: Type,
    pub(crate) name: String,
    pub(crate) documentation: String,
    pub(crate) default: Option<Expr>,
    pub(crate) importance: Ident,
    pub(crate) group: Option<String>,
    pub(crate) width: Ident,
    pub(crate) display: Option<String>,
    pub(crate) dependents: Vec<String>,
    pub(crate) validator: Option<Expr>,
    pub(crate) recommender: Option<Expr>,
    pub(crate) internal: bool,
}

impl Key {
    /// Reads a field.
    pub(crate) fn of(field: &Field) -> syn::Result<Key> {
        let named = || syn::Error::new_spanned(field, "options are fields with names");
        let ident = field.ident.clone().ok_or_else(named)?;
        let mut key = Key {
            name: ident.to_string().trim_start_matches("r#").replace('_', "."),
            ty: field.ty.clone(),
            documentation: documentation(&field.attrs),
            default: None,
            importance: Ident::new("Medium", ident.span()),
            group: None,
            width: Ident::new("None", ident.span()),
            display: None,
            dependents: Vec::new(),
            validator: None,
            recommender: None,
            internal: false,
            field: ident,
        };
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("config")) {
            for argument in attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)? {
                key.take(&argument)?;
            }
        }
        if key.documentation.is_empty() {
            return Err(syn::Error::new_spanned(&key.field, "an option needs a documentation comment"));
        }
        Ok(key)
    }

    fn take(&mut self, argument: &Meta) -> syn::Result<()> {
        let name = argument.path().get_ident().map(Ident::to_string).unwrap_or_default();
        match (name.as_str(), argument) {
            ("internal", Meta::Path(_)) => self.internal = true,
            ("dependents", Meta::List(list)) => {
                let names = list.parse_args_with(Punctuated::<LitStr, Token![,]>::parse_terminated)?;
                self.dependents = names.iter().map(LitStr::value).collect();
            }
            (_, Meta::NameValue(pair)) => match name.as_str() {
                "name" => self.name = text(&pair.value)?,
                "group" => self.group = Some(text(&pair.value)?),
                "display" => self.display = Some(text(&pair.value)?),
                "default" => self.default = Some(pair.value.clone()),
                "validator" => self.validator = Some(pair.value.clone()),
                "recommender" => self.recommender = Some(pair.value.clone()),
                "importance" => self.importance = word(&pair.value)?,
                "width" => self.width = word(&pair.value)?,
                _ => return Err(unknown(argument)),
            },
            _ => return Err(unknown(argument)),
        }
        Ok(())
    }
}

fn unknown(argument: &Meta) -> syn::Error {
    let known = "name, default, importance, group, width, display, dependents, validator, recommender and internal";
    syn::Error::new_spanned(argument, format!("not known here; there are {known}"))
}

fn text(value: &Expr) -> syn::Result<String> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.value()),
        other => Err(syn::Error::new_spanned(other, "a text in quotes is wanted")),
    }
}

fn word(value: &Expr) -> syn::Result<Ident> {
    match value {
        Expr::Path(path) => path.path.require_ident().cloned(),
        other => Err(syn::Error::new_spanned(other, "one of the names of the enumeration is wanted")),
    }
}

/// The documentation comment as one paragraph; an empty line in it begins another.
fn documentation(attributes: &[Attribute]) -> String {
    let mut paragraphs = vec![String::new()];
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        let Meta::NameValue(pair) = &attribute.meta else { continue };
        let Ok(line) = text(&pair.value) else { continue };
        let line = line.trim();
        let last = paragraphs.len() - 1;
        match (line.is_empty(), paragraphs[last].is_empty()) {
            (true, true) => {}
            (true, false) => paragraphs.push(String::new()),
            (false, true) => paragraphs[last].push_str(line),
            (false, false) => paragraphs[last].extend([" ", line]),
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs.join("\n\n")
}
