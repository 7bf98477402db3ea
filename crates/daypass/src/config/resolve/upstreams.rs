//! Where an API runs, and how long what may take.

use std::time::Duration;

use access::time::parse_duration;
use gateway::bounds::{
    ANSWER_IDLE_TIME_MAX, ANSWER_TIME_MAX, CHECK_ROUNDS_MAX, CHECK_TIME_MAX, CHECK_TIME_MIN,
    CONNECT_TIME_MAX, EXCHANGE_TIME_MAX, TARGET_BYTES_MAX,
};
use gateway::{Check, Patience};

use super::super::api::{ApiLimits, Health};
use super::super::place::{Place, Placed};
use super::super::text;
use super::super::tls::UpstreamTls;
use super::super::upstream::{Forward, UpstreamUrl};
use super::Resolver;

impl Resolver<'_> {
    /// How long what may take. What is wrong is reported, and the default stands for it.
    pub(super) fn patience(&mut self, limits: &ApiLimits) -> Patience {
        let default = Patience::default();
        let mut time = |written, most| self.time(written, most);
        Patience {
            connect: time(&limits.connect, CONNECT_TIME_MAX).unwrap_or(default.connect),
            answer: time(&limits.timeout, ANSWER_TIME_MAX).unwrap_or(default.answer),
            idle: time(&limits.idle, ANSWER_IDLE_TIME_MAX).unwrap_or(default.idle),
            total: limits.total.as_ref().and_then(|total| time(total, EXCHANGE_TIME_MAX)),
        }
    }

    fn time(&mut self, written: &Placed<text::Duration>, most: Duration) -> Option<Duration> {
        let within = |time: &Duration| !time.is_zero() && *time <= most;
        let time = parse_duration(&written.value).filter(within);
        if time.is_none() {
            let most = match most.as_secs() {
                days if days % 86_400 == 0 => format!("{}d", days / 86_400),
                hours if hours % 3_600 == 0 => format!("{}h", hours / 3_600),
                seconds => format!("{}m", seconds / 60),
            };
            let advice = format!(
                "write a whole number and `ms`, `s`, `m` or `h`, like `30s`; more than nothing, at most `{most}`"
            );
            self.refuse(written.place, format!("`{}` is not a timeout", written.value), advice);
        }
        time
    }

    /// `None` only where something was refused.
    pub(super) fn check(&mut self, written: &Health) -> Option<Check> {
        let path = self.check_path(&written.path);
        let every = self.time(&written.every, CHECK_TIME_MAX);
        if every.is_some_and(|every| every < CHECK_TIME_MIN) {
            let says = format!("`{}` is too short a time between two checks", written.every.value);
            self.refuse(written.every.place, says, "write at least `100ms`");
        }
        let timeout = self.time(&written.timeout, CHECK_TIME_MAX);
        Some(Check {
            path: path?,
            every: every?,
            timeout: timeout?,
            unhealthy_after: self.rounds(&written.unhealthy_after)?,
            healthy_after: self.rounds(&written.healthy_after)?,
        })
    }

    fn check_path(&mut self, written: &Placed<text::TargetText>) -> Option<String> {
        let plain = written.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let fits = written.starts_with('/') && plain && written.len() <= TARGET_BYTES_MAX;
        if !fits {
            let says = format!("`{}` is not a path that can be asked for", written.value);
            self.refuse(written.place, says, "write it like `/healthz`");
        }
        fits.then(|| written.to_string())
    }

    fn rounds(&mut self, written: &Placed<u32>) -> Option<u32> {
        let fits = (1..=CHECK_ROUNDS_MAX).contains(&written.value);
        if !fits {
            let says = format!("{} checks in a row are out of bounds", written.value);
            self.refuse(written.place, says, format!("write a number from 1 to {CHECK_ROUNDS_MAX}"));
        }
        fits.then_some(written.value)
    }

    pub(super) fn upstreams(
        &mut self,
        written: &Placed<Vec<Placed<text::UpstreamText>>>,
        tls: Option<&Placed<UpstreamTls>>,
    ) -> Vec<gateway::Upstream> {
        if !(1..=Forward::UPSTREAMS_MAX).contains(&written.len()) {
            let says = format!("an API has 1 to {} upstreams", Forward::UPSTREAMS_MAX);
            self.refuse(written.place, says, "write them like `[http://127.0.0.1:7001]`");
        }
        let urls = self.upstream_urls(written);
        let credentials = self.upstream_tls(tls, &urls);
        let named = urls.into_iter();
        named.filter_map(|(place, url)| self.upstream(place, url, credentials.as_ref())).collect()
    }

    fn upstream_urls(&mut self, written: &[Placed<text::UpstreamText>]) -> Vec<(Place, UpstreamUrl)> {
        let mut urls: Vec<(Place, UpstreamUrl)> = Vec::new();
        for url in written {
            match url.parse::<UpstreamUrl>() {
                Ok(upstream) if urls.iter().any(|(_, known)| *known == upstream) => {
                    self.refuse(url.place, "this upstream stands twice", "keep one of them");
                }
                Ok(upstream) => urls.push((url.place, upstream)),
                Err(why) => {
                    self.hide_user_info(url);
                    self.refuse(url.place, why.to_string(), why.advice());
                }
            }
        }
        urls
    }

    /// A password in a URL is not shown.
    fn hide_user_info(&mut self, url: &Placed<text::UpstreamText>) {
        if url.contains('@') {
            self.errors.hide(url.place);
        }
    }
}
