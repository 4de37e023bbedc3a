//! Configuration providers: what `${provider:path:key}` stands for.
//!
//! Placeholders stay as they are in stored configurations and in REST answers; they are replaced in the copy that a
//! connector or task is started with. As in Connect, a placeholder whose provider or key does not exist stays as it
//! is written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use fancy_regex::Regex;
use kanat_client::JavaProperties;
use kanat_connect::config::Properties;

use crate::error::{Error, Result};

/// Largest file a provider reads.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The providers of a worker by name.
#[derive(Debug, Clone, Default)]
pub struct ConfigProviders {
    providers: BTreeMap<String, Provider>,
}

#[derive(Debug, Clone)]
enum Provider {
    /// A key of a properties file.
    File(AllowedPaths),
    /// The content of a file in a folder.
    Directory(AllowedPaths),
    /// A variable of the environment.
    Environment(Option<Regex>),
}

/// Folders and files that may be read; none named means all.
#[derive(Debug, Clone, Default)]
struct AllowedPaths(Vec<PathBuf>);

impl AllowedPaths {
    fn parse(text: &str) -> Result<AllowedPaths> {
        let paths = text.split(',').map(str::trim).filter(|path| !path.is_empty()).map(PathBuf::from);
        let paths: Vec<PathBuf> = paths.collect();
        match paths.iter().find(|path| !path.is_absolute()) {
            Some(path) => Err(Error::Config(format!("Path {} is not absolute", path.display()))),
            None => Ok(AllowedPaths(paths)),
        }
    }

    /// The path without `.` and `..`, if it may be read.
    fn admit(&self, path: &str) -> Option<PathBuf> {
        let mut plain = PathBuf::new();
        for component in Path::new(path).components() {
            match component {
                Component::CurDir => {}
                Component::ParentDir => {
                    plain.pop();
                }
                other => plain.push(other),
            }
        }
        let allowed = self.0.is_empty() || self.0.iter().any(|allowed| plain.starts_with(allowed));
        if !allowed {
            tracing::error!(path, "the path is not within allowed.paths of the configuration provider");
        }
        allowed.then_some(plain)
    }
}

impl ConfigProviders {
    /// The providers that a worker's properties name in `config.providers`.
    ///
    /// # Errors
    /// A provider without class, of a class that is not built in, or with a parameter that cannot work.
    pub fn from_properties(properties: &BTreeMap<String, String>) -> Result<ConfigProviders> {
        let names = properties.get("config.providers").map(String::as_str).unwrap_or_default();
        let mut providers = BTreeMap::new();
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let key = format!("config.providers.{name}.class");
            let class = properties.get(&key).ok_or_else(|| Error::Config(format!("{key} is missing")))?;
            let parameter = |parameter: &str| {
                properties.get(&format!("config.providers.{name}.param.{parameter}")).map(String::as_str)
            };
            providers.insert(name.to_owned(), Provider::new(class.trim(), &key, parameter)?);
        }
        Ok(ConfigProviders { providers })
    }

    /// A copy of a configuration with every placeholder replaced.
    ///
    /// # Errors
    /// When a provider cannot read what a placeholder names.
    pub fn resolve(&self, properties: &Properties) -> Result<Properties> {
        let resolve = |text: &Option<String>| text.as_deref().map(|text| self.replace(text)).transpose();
        properties.iter().map(|(key, value)| Ok((key.clone(), resolve(value)?))).collect()
    }

    /// A text with its placeholders replaced.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn replace(&self, text: &str) -> Result<String> {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            replaced.push_str(&rest[..start]);
            rest = &rest[start..];
            let placeholder = rest.find('}').map(|end| &rest[..=end]);
            match placeholder.and_then(|placeholder| Some((placeholder, parts(placeholder)?))) {
                Some((placeholder, (provider, path, key))) => {
                    match self.providers.get(provider) {
                        Some(provider) => match provider.get(path, key)? {
                            Some(value) => replaced.push_str(&value),
                            None => replaced.push_str(placeholder),
                        },
                        None => replaced.push_str(placeholder),
                    }
                    rest = &rest[placeholder.len()..];
                }
                None => {
                    replaced.push_str("${");
                    rest = &rest[2..];
                }
            }
        }
        replaced.push_str(rest);
        Ok(replaced)
    }
}

/// Provider, path and key of `${provider:path:key}` or `${provider:key}`.
fn parts(placeholder: &str) -> Option<(&str, &str, &str)> {
    let inside = placeholder.strip_prefix("${")?.strip_suffix('}')?;
    let (provider, rest) = inside.split_once(':')?;
    let (path, key) = rest.split_once(':').unwrap_or(("", rest));
    Some((provider, path, key))
}

impl Provider {
    fn new<'a>(class: &str, key: &str, parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Provider> {
        let paths = || AllowedPaths::parse(parameter("allowed.paths").unwrap_or_default());
        Ok(match class.strip_prefix("org.apache.kafka.common.config.provider.").unwrap_or(class) {
            "FileConfigProvider" => Provider::File(paths()?),
            "DirectoryConfigProvider" => Provider::Directory(paths()?),
            "EnvVarConfigProvider" => {
                let pattern = parameter("allowlist.pattern").map(|pattern| Regex::new(&format!("^(?:{pattern})$")));
                let pattern = pattern.transpose().map_err(|error| {
                    Error::Config(format!("Invalid value for configuration allowlist.pattern: {error}"))
                })?;
                Provider::Environment(pattern)
            }
            _ => {
                return Err(Error::Config(format!(
                    "Invalid value {class} for configuration {key}: there are FileConfigProvider, \
                     DirectoryConfigProvider and EnvVarConfigProvider"
                )));
            }
        })
    }

    fn get(&self, path: &str, key: &str) -> Result<Option<String>> {
        match self {
            Provider::Environment(_) if !path.is_empty() => {
                Err(Error::Config(format!("Path is not supported for EnvVarConfigProvider, invalid value '{path}'")))
            }
            Provider::Environment(Some(pattern)) if !pattern.is_match(key).unwrap_or(false) => Ok(None),
            Provider::Environment(_) => Ok(std::env::var(key).ok()),
            Provider::File(allowed) => {
                let Some(path) = (!path.is_empty()).then(|| allowed.admit(path)).flatten() else { return Ok(None) };
                let unreadable = |_| Error::Config(format!("Could not read properties from file {}", path.display()));
                let text = read(&path).map_err(unreadable)?;
                let properties = JavaProperties::parse(&text)?;
                let found = properties.into_iter().find(|(name, _)| name == key);
                Ok(found.map(|(_, value)| value.reveal().to_owned()))
            }
            Provider::Directory(allowed) => {
                let Some(folder) = (!path.is_empty()).then(|| allowed.admit(path)).flatten() else { return Ok(None) };
                // A key is the name of a file in the folder, not a way out of it.
                let file = folder.join(key);
                if file.parent() != Some(folder.as_path()) || !file.is_file() {
                    return Ok(None);
                }
                read(&file).map(Some)
            }
        }
    }
}

fn read(path: &Path) -> Result<String> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let bytes = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(failed(format!("is larger than the {FILE_BYTES_MAX} bytes a configuration provider reads")));
    }
    fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn providers(pairs: &[(&str, &str)]) -> ConfigProviders {
        let properties = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ConfigProviders::from_properties(&properties).unwrap()
    }

    fn all() -> ConfigProviders {
        providers(&[
            ("config.providers", "env, file,dir"),
            ("config.providers.env.class", "org.apache.kafka.common.config.provider.EnvVarConfigProvider"),
            ("config.providers.file.class", "org.apache.kafka.common.config.provider.FileConfigProvider"),
            ("config.providers.dir.class", "org.apache.kafka.common.config.provider.DirectoryConfigProvider"),
        ])
    }

    #[test]
    fn placeholders_are_replaced_within_text() {
        let home = std::env::var("PATH").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets.properties");
        fs::write(&file, "user=anna\npassword = a:b\n").unwrap();
        let text = format!(
            "x ${{env:PATH}} ${{file:{file}:password}}/${{file:{file}:user}} ${{dir:{folder}:secrets.properties}}$",
            file = file.display(),
            folder = folder.path().display()
        );
        let expected = format!("x {home} a:b/anna user=anna\npassword = a:b\n$");
        assert_eq!(all().replace(&text).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_found_stays() {
        for text in ["${nosuch:path:key}", "${env:KANAT_NO_SUCH_VARIABLE}", "${open", "${}", "${nocolon}", "$${x"] {
            assert_eq!(all().replace(text).unwrap(), text);
        }
        assert!(all().replace("${env:path:KEY}").unwrap_err().to_string().contains("Path is not supported"));
        assert!(all().replace("${file:/no/such/file:k}").unwrap_err().to_string().contains("/no/such/file"));
    }

    #[test]
    fn nothing_outside_the_allowed_paths_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        for path in [&inside, &outside] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("f"), "k=v").unwrap();
        }
        let limited = providers(&[
            ("config.providers", "file,dir"),
            ("config.providers.file.class", "FileConfigProvider"),
            ("config.providers.file.param.allowed.paths", inside.to_str().unwrap()),
            ("config.providers.dir.class", "DirectoryConfigProvider"),
        ]);
        let inside = inside.display();
        assert_eq!(limited.replace(&format!("${{file:{inside}/f:k}}")).unwrap(), "v");
        for text in [
            format!("${{file:{}/f:k}}", outside.display()),
            format!("${{file:{inside}/../out/f:k}}"),
            format!("${{dir:{inside}:../out/f}}"),
        ] {
            assert_eq!(limited.replace(&text).unwrap(), text);
        }
    }
}
