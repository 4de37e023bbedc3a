//! Which version of an API to speak.
//!
//! A client asks the broker for its table once per connection, keeps it as [`ApiVersions`], and picks for each request
//! the newest version both sides have.

use std::fmt;

use crate::error::{Error, Result};
use crate::layout;
use crate::messages::{ApiKey, ApiVersionsResponse};

/// Versions of an API, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionRange {
    /// Oldest version.
    pub min: i16,
    /// Newest version.
    pub max: i16,
}

impl VersionRange {
    /// A range from `min` to `max`.
    pub const fn new(min: i16, max: i16) -> VersionRange {
        VersionRange { min, max }
    }

    /// Whether `version` lies in the range.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The versions in both ranges; empty (see [`VersionRange::is_empty`]) if there are none.
    pub fn intersect(self, other: VersionRange) -> VersionRange {
        VersionRange { min: self.min.max(other.min), max: self.max.min(other.max) }
    }

    /// Whether the range holds no version.
    pub const fn is_empty(self) -> bool {
        self.min > self.max
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() { f.write_str("none") } else { write!(f, "{} to {}", self.min, self.max) }
    }
}

/// Versions of an API in which this crate can encode and decode both the request and the response.
pub fn supported(api_key: ApiKey) -> VersionRange {
    layout::supported(api_key)
}

/// The newest version in both ranges.
///
/// # Errors
/// [`Error::NoCommonVersion`] if the ranges do not meet.
pub fn negotiate(api_key: ApiKey, ours: VersionRange, theirs: VersionRange) -> Result<i16> {
    let common = ours.intersect(theirs);
    if common.is_empty() { Err(Error::NoCommonVersion { api_key, ours, theirs }) } else { Ok(common.max) }
}

/// The version table of one broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiVersions {
    /// Sorted by API key.
    ranges: Vec<(i16, VersionRange)>,
    /// Name and level of each feature the cluster has finalised.
    features: Vec<(String, i16)>,
}

impl ApiVersions {
    /// Builds a table from (API key, range) pairs; of a key named twice the first range counts.
    pub fn new(ranges: impl IntoIterator<Item = (i16, VersionRange)>) -> ApiVersions {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_by_key(|(key, _)| *key);
        ranges.dedup_by_key(|(key, _)| *key);
        ApiVersions { ranges, features: Vec::new() }
    }

    /// Takes the table out of a broker's answer.
    pub fn from_response(response: &ApiVersionsResponse) -> ApiVersions {
        let ranges = response.api_keys.iter();
        let table =
            ApiVersions::new(ranges.map(|api| (api.api_key, VersionRange::new(api.min_version, api.max_version))));
        let features = response.finalized_features.iter();
        let features = features.map(|feature| (feature.name.as_str().to_owned(), feature.max_version_level));
        ApiVersions { features: features.collect(), ..table }
    }

    /// The level at which the cluster has finalised a feature; `None` if it does not have it.
    pub fn feature(&self, name: &str) -> Option<i16> {
        self.features.iter().find(|(known, _)| known == name).map(|(_, level)| *level)
    }

    /// Versions the broker offers of an API; `None` if it does not have the API.
    pub fn range(&self, api_key: ApiKey) -> Option<VersionRange> {
        let key = api_key as i16;
        let position = self.ranges.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(self.ranges[position].1)
    }

    /// The newest version of an API that the broker, `ours` and this crate's messages have in common.
    ///
    /// # Errors
    /// [`Error::ApiNotOffered`] if the broker does not have the API, [`Error::NoCommonVersion`] if the ranges do not
    /// meet.
    pub fn negotiate(&self, api_key: ApiKey, ours: VersionRange) -> Result<i16> {
        let theirs = self.range(api_key).ok_or(Error::ApiNotOffered { api_key })?;
        negotiate(api_key, ours.intersect(supported(api_key)), theirs)
    }

    /// The newest version of an API that the broker and this crate's messages have in common.
    ///
    /// # Errors
    /// As [`ApiVersions::negotiate`].
    pub fn newest(&self, api_key: ApiKey) -> Result<i16> {
        self.negotiate(api_key, supported(api_key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::api_versions_response::ApiVersion;

    #[test]
    fn newest_common_version_wins() {
        let ours = VersionRange::new(4, 18);
        assert_eq!(negotiate(ApiKey::Fetch, ours, VersionRange::new(0, 11)), Ok(11));
        assert_eq!(negotiate(ApiKey::Fetch, ours, VersionRange::new(4, 99)), Ok(18));
    }

    #[test]
    fn disjoint_ranges_name_both_sides() {
        let error = negotiate(ApiKey::Fetch, VersionRange::new(4, 18), VersionRange::new(0, 3)).unwrap_err();
        assert_eq!(error.to_string(), "no common version of Fetch: this side speaks 4 to 18, the other side 0 to 3");
    }

    #[test]
    fn table_comes_from_the_broker() {
        let mut response = ApiVersionsResponse::default();
        let api = |key: ApiKey, max| ApiVersion::default().with_api_key(key as i16).with_max_version(max);
        response.api_keys = vec![api(ApiKey::Metadata, 8), api(ApiKey::Produce, 7)];
        let table = ApiVersions::from_response(&response);
        assert_eq!(table.range(ApiKey::Produce), Some(VersionRange::new(0, 7)));
        assert_eq!(table.newest(ApiKey::Metadata), Ok(8));
        assert_eq!(table.newest(ApiKey::Fetch), Err(Error::ApiNotOffered { api_key: ApiKey::Fetch }));
    }

    #[test]
    fn only_versions_of_request_and_response_count() {
        // The message library has InitProducerId responses up to 6 but requests up to 5 only.
        assert_eq!(supported(ApiKey::InitProducerId), VersionRange::new(0, 5));
    }
}
