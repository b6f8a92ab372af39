//! Where clips are kept: `CLIP_STORE_URL`, and what S3 needs besides.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut},
    local::LocalFileSystem,
    memory::InMemory,
    prefix::PrefixStore,
};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::{Clips, ClipsError};

/// A request to an object store; clips are small.
const REQUEST: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(1);
/// All attempts at one request together.
const ATTEMPTS: Duration = Duration::from_secs(3);

/// Where clips are kept.
#[derive(Clone, Debug, Default)]
pub struct Location {
    /// `CLIP_STORE_URL`: a folder, `file://…` or `s3://bucket/prefix?endpoint=…&region=…&path_style=…`.
    pub url: String,
    /// What S3 needs.
    pub aws: Aws,
}

/// The usual `AWS_*` variables. Without keys or a role, those of the machine that it runs on are asked for.
#[derive(Clone, Debug, Default)]
pub struct Aws {
    access_key_id: Option<String>,
    secret_access_key: Option<SecretString>,
    session_token: Option<SecretString>,
    region: Option<String>,
    endpoint: Option<String>,
    role_arn: Option<String>,
    web_identity_token_file: Option<String>,
    container_credentials_uri: Option<String>,
}

/// A store that is open.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) folder: Option<Arc<Path>>,
}

/// What an address names.
#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    S3(Bucket),
}

#[derive(Debug)]
struct Bucket {
    name: String,
    prefix: String,
    region: Option<String>,
    endpoint: Option<String>,
    is_path_style: bool,
}

impl Location {
    /// Reads `CLIP_STORE_URL` and the variables of S3 through `get`.
    pub fn read(mut get: impl FnMut(&str) -> Option<String>) -> Self {
        let region = get("AWS_REGION");
        let aws = Aws {
            access_key_id: get("AWS_ACCESS_KEY_ID"),
            secret_access_key: get("AWS_SECRET_ACCESS_KEY").map(SecretString::from),
            session_token: get("AWS_SESSION_TOKEN").map(SecretString::from),
            region: get("AWS_DEFAULT_REGION").filter(|_| region.is_none()).or(region),
            endpoint: get("AWS_ENDPOINT_URL"),
            role_arn: get("AWS_ROLE_ARN"),
            web_identity_token_file: get("AWS_WEB_IDENTITY_TOKEN_FILE"),
            container_credentials_uri: get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        };
        Self { url: get("CLIP_STORE_URL").unwrap_or_else(|| ".run/clips".to_owned()), aws }
    }

    /// What is wrong with the address, without going there.
    pub fn problem(&self) -> Option<String> {
        match self.place() {
            Err(ClipsError::Config(message)) => Some(message),
            Err(_) | Ok(_) => None,
        }
    }

    /// Opens the store. An object store is not connected to yet; a folder is made if it does not exist.
    ///
    /// # Errors
    /// When clips cannot be kept there.
    pub fn open(&self, secret: &SecretString) -> Result<Clips, ClipsError> {
        let opened = match self.place()? {
            Place::Folder(path) => open_folder(&path)?,
            Place::S3(bucket) => self.aws.open(bucket)?,
        };
        Ok(Clips::new(opened, secret))
    }

    fn place(&self) -> Result<Place, ClipsError> {
        match self.url.split_once("://") {
            None => Ok(Place::Folder(PathBuf::from(&self.url))),
            Some(("file", path)) => Ok(Place::Folder(PathBuf::from(path))),
            Some(("s3", _)) => {
                let keys = (&self.aws.access_key_id, &self.aws.secret_access_key);
                if matches!(keys, (Some(_), None) | (None, Some(_))) {
                    return Err(config(
                        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set both or neither",
                    ));
                }
                self.bucket().map(Place::S3)
            }
            Some(("memory", _)) => {
                Err(config("\"memory://\" cannot be shared by the services; use a folder, file:// or s3://"))
            }
            Some((scheme, _)) => {
                Err(config(format!("\"{scheme}://\" is not supported; use a folder, file:// or s3://")))
            }
        }
    }

    fn bucket(&self) -> Result<Bucket, ClipsError> {
        let url = Url::parse(&self.url).map_err(|error| config(format!("{}: {error}", self.url)))?;
        let name = url.host_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| config("names no bucket; write s3://bucket/prefix"))?.to_owned();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(config(
                "carries credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead",
            ));
        }
        let mut bucket = Bucket {
            name,
            prefix: url.path().trim_matches('/').to_owned(),
            region: self.aws.region.clone(),
            endpoint: self.aws.endpoint.clone(),
            is_path_style: true,
        };
        let mut path_style = None;
        for (option, value) in url.query_pairs() {
            match &*option {
                "endpoint" => bucket.endpoint = Some(value.into_owned()),
                "region" => bucket.region = Some(value.into_owned()),
                "path_style" => {
                    let given = value.parse();
                    path_style = Some(given.map_err(|_| config("path_style is either true or false"))?);
                }
                other => {
                    let known = "endpoint, region and path_style";
                    return Err(config(format!("the option \"{other}\" is unknown; there are {known}")));
                }
            }
        }
        // AWS itself wants the bucket as a host name; most others want it in the path.
        bucket.is_path_style = path_style.unwrap_or(bucket.endpoint.is_some());
        if let Some(endpoint) = &bucket.endpoint
            && !endpoint.starts_with("http://")
            && !endpoint.starts_with("https://")
        {
            return Err(config(format!("the endpoint \"{endpoint}\" is not an http or https address")));
        }
        Ok(bucket)
    }
}

impl Aws {
    fn open(&self, bucket: Bucket) -> Result<Opened, ClipsError> {
        let Bucket { name, prefix, region, endpoint, is_path_style } = bucket;
        let is_plain = endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let client = ClientOptions::new()
            .with_timeout(REQUEST)
            .with_connect_timeout(CONNECT)
            .with_allow_http(is_plain);
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(500),
            base: 2.0,
        };
        let retry = RetryConfig { backoff, max_retries: 2, retry_timeout: ATTEMPTS };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(name)
            .with_client_options(client)
            .with_retry(retry)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_virtual_hosted_style_request(!is_path_style);
        let secret = |secret: &Option<SecretString>| secret.as_ref().map(|s| s.expose_secret().to_owned());
        for (key, value) in [
            (AmazonS3ConfigKey::Region, region),
            (AmazonS3ConfigKey::Endpoint, endpoint),
            (AmazonS3ConfigKey::AccessKeyId, self.access_key_id.clone()),
            (AmazonS3ConfigKey::SecretAccessKey, secret(&self.secret_access_key)),
            (AmazonS3ConfigKey::Token, secret(&self.session_token)),
            (AmazonS3ConfigKey::RoleArn, self.role_arn.clone()),
            (AmazonS3ConfigKey::WebIdentityTokenFile, self.web_identity_token_file.clone()),
            (AmazonS3ConfigKey::ContainerCredentialsRelativeUri, self.container_credentials_uri.clone()),
        ] {
            if let Some(value) = value {
                builder = builder.with_config(key, value);
            }
        }
        let store = builder.build().map_err(|error| config(error.to_string()))?;
        Ok(Opened { store: Arc::new(PrefixStore::new(store, prefix)), folder: None })
    }
}

impl Clips {
    /// A store that lives as long as this value, for tests of whatever uses one.
    pub fn in_memory(secret: &SecretString) -> Self {
        Self::new(Opened { store: Arc::new(InMemory::new()), folder: None }, secret)
    }
}

fn open_folder(path: &Path) -> Result<Opened, ClipsError> {
    let failed = |error: &dyn std::fmt::Display| config(format!("{}: {error}", path.display()));
    std::fs::create_dir_all(path).map_err(|error| failed(&error))?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|error| failed(&error))?;
    Ok(Opened { store: Arc::new(store), folder: Some(path.into()) })
}

fn config(message: impl Into<String>) -> ClipsError {
    ClipsError::Config(message.into())
}
