//! A producer that is not ours: any key, any partition, no headers.

use pipeline::topics::Topic;
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_is_read_as_it_is() {
    let Some(bench) = Bench::new("foreign").await else { return };
    let log = bench.log().await;
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &bench.settings.brokers).create().expect("a producer");
    let topic = format!("{}webhooks.raw", bench.settings.topic_prefix);
    let without_key = BaseRecord::<(), _>::to(&topic).partition(1).payload("no key");
    producer.send(without_key).map_err(|(error, _)| error).expect("a place in the queue");
    let long_name = "n".repeat(300);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "empty", value: None::<&[u8]> })
        .insert(Header { key: &long_name, value: Some(&[0xff, 0x00][..]) });
    let odd = BaseRecord::<[u8], ()>::to(&topic).partition(1).key(&[0xff, 0xfe]).timestamp(-5).headers(headers);
    producer.send(odd).map_err(|(error, _)| error).expect("a place in the queue");
    producer.flush(PATIENCE).expect("a delivery");

    let got = all(&log, Topic::WebhooksRaw, 1).await;
    assert_eq!(got.len(), 2);
    assert_eq!((got[0].key.as_ref(), text(&got[0]).as_str()), (&b""[..], "no key"));
    assert!(got[0].headers.encoded().is_empty());
    assert_eq!((got[1].key.as_ref(), got[1].value.as_ref()), (&[0xff, 0xfe][..], None));
    assert_eq!(got[1].headers.get("empty"), Some(&b""[..]));
    // The broker's own time, whatever the producer says.
    assert!(got.iter().all(|record| record.at_ms > began_ms()));
}
