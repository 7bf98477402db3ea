//! One order of a certificate, from the account to the chain.

use std::time::Duration;

use anyhow::{Context as _, bail};
use gateway::issued::{Issued, NameProof};
use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use zeroize::Zeroizing;

use super::http::Http;
use super::store::{Paper, Store};
use crate::config::tls::AcmePlan;

/// How long an authority is asked whether it has looked, and then whether it has signed.
const ASK_TIME_MAX: Duration = Duration::from_secs(120);
/// How soon it is asked for the first time; each time later.
const ASK_TIME: Duration = Duration::from_millis(250);
const ASK: RetryPolicy = RetryPolicy::new().initial_delay(ASK_TIME).timeout(ASK_TIME_MAX);

/// What an authority says of an account that it does not have (RFC 8555, section 6.7).
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Orders a certificate for the plan's names.
///
/// # Errors
/// Whatever stands in the way, in words.
pub(super) async fn place(plan: &AcmePlan, store: &Store, issued: &Issued) -> anyhow::Result<Paper> {
    let ordered = order(plan, store, issued).await;
    ordered.map_err(|error| {
        let unknown = error.chain().any(|why| {
            matches!(why.downcast_ref(), Some(Error::Api(said)) if said.r#type.as_deref() == Some(NO_ACCOUNT))
        });
        match unknown {
            true => error.context(format!(
                "the authority does not know this account: to begin with a new one, remove `{}` and reload",
                store.account_path().display()
            )),
            false => error,
        }
    })
}

async fn order(plan: &AcmePlan, store: &Store, issued: &Issued) -> anyhow::Result<Paper> {
    let account = account(plan, store).await?;
    let names: Vec<_> = plan.domains.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await.context("the order was not taken")?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        prove(authorization.context("the order cannot be read")?, issued).await?;
    }
    match order.poll_ready(&ASK).await {
        Ok(OrderStatus::Ready) => {}
        Ok(_) | Err(Error::Api(_)) => bail!("{}", why_invalid(&mut order).await),
        Err(error) => return Err(error).context("the authority does not say what it saw"),
    }
    let key = Zeroizing::new(order.finalize().await.context("the order was not completed")?);
    let chain = order.poll_certificate(&ASK).await.context("no certificate was issued")?;
    Ok(Paper { directory: plan.directory.clone(), chain, key })
}

/// The account that is kept, or a new one: that is how its authority knows who renews.
async fn account(plan: &AcmePlan, store: &Store) -> anyhow::Result<Account> {
    let builder = Account::builder_with_http(Box::new(Http::trusting(&plan.trust)?));
    let contact: Vec<_> = plan.contact.iter().map(String::as_str).collect();
    if let Some(kept) = store.account(&plan.directory)? {
        let account =
            builder.from_credentials(kept.credentials).await.context("the authority cannot be asked")?;
        if kept.contact != plan.contact {
            account.update_contacts(&contact).await.context("the contacts were not taken")?;
            store.keep_contact(&plan.directory, &plan.contact)?;
        }
        return Ok(account);
    }
    let account =
        NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let made = builder.create(&account, plan.directory.clone(), None).await;
    let (account, credentials) = made.context("the authority gives no account")?;
    store.keep_account(&plan.directory, &plan.contact, credentials)?;
    Ok(account)
}

/// Puts up what proves one name, and has the authority look.
async fn prove(mut authorization: AuthorizationHandle<'_>, issued: &Issued) -> anyhow::Result<()> {
    let name = authorization.identifier().to_string();
    match authorization.status {
        AuthorizationStatus::Valid => return Ok(()),
        AuthorizationStatus::Pending => {}
        status => bail!("the authority says that `{name}` is {status:?}"),
    }
    let mut challenge = authorization
        .challenge(ChallengeType::TlsAlpn01)
        .with_context(|| format!("the authority does not offer `tls-alpn-01` for `{name}`"))?;
    issued.prove(&name, &proof(&name, challenge.key_authorization().digest().as_ref())?);
    challenge.set_ready().await.with_context(|| format!("`{name}` was not looked at"))
}

/// The certificate that proves a name (RFC 8737, section 3).
fn proof(name: &str, digest: &[u8]) -> anyhow::Result<NameProof> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(NameProof::parse(certificate.pem().as_bytes(), Zeroizing::new(key.serialize_pem()).as_bytes())?)
}

/// What the authority says of an order that came to nothing: of each name, what it saw.
async fn why_invalid(order: &mut Order) -> String {
    let all = order.state().error.as_ref().map(ToString::to_string);
    let mut said = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else { continue };
        let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        said.extend(errors.map(|error| format!("`{name}`: {error}")));
    }
    if said.is_empty() {
        said.push(all.unwrap_or_else(|| "it does not say why".to_owned()));
    }
    format!("the authority refused the order: {}", said.join("; "))
}
