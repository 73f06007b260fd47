// SPDX-License-Identifier: MIT

// Watermill's router doing what the bridge is measured at: webhooks into a Redis stream, or one Redis stream into
// another. Publishing is synchronous, as in its examples; nothing checks signatures.
//
//	watermill hook REDIS-PORT LISTEN-PORT        until killed; deliveries to /hooks/a
//	watermill relay REDIS-PORT FROM TO COUNT     prints JSON
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	whttp "github.com/ThreeDotsLabs/watermill-http/v2/pkg/http"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
)

// Entries have one field, "payload", as bench_redis_relay writes them.
type plain struct{}

func (plain) Marshal(_ string, m *message.Message) (map[string]any, error) {
	return map[string]any{"payload": []byte(m.Payload)}, nil
}

func (plain) Unmarshal(values map[string]any) (*message.Message, error) {
	return message.NewMessage(watermill.NewUUID(), []byte(values["payload"].(string))), nil
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func cpu() float64 {
	var use syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	return float64(use.Utime.Nano()+use.Stime.Nano()) / 1e3
}

func main() {
	logger := watermill.NopLogger{}
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + os.Args[2]})
	publisher := must(redisstream.NewPublisher(redisstream.PublisherConfig{Client: client, Marshaller: plain{}}, logger))
	router := must(message.NewRouter(message.RouterConfig{}, logger))
	pass := func(m *message.Message) ([]*message.Message, error) { return []*message.Message{m}, nil }
	if os.Args[1] == "hook" {
		subscriber := must(whttp.NewSubscriber("127.0.0.1:"+os.Args[3], whttp.SubscriberConfig{
			UnmarshalMessageFunc: func(_ string, r *http.Request) (*message.Message, error) {
				body, err := io.ReadAll(r.Body)
				return message.NewMessage(r.Header.Get("X-GitHub-Delivery"), body), err
			},
		}, logger))
		router.AddHandler("hooks", "/hooks/a", subscriber, "hooks", publisher, pass)
		go func() {
			<-router.Running()
			_ = subscriber.StartHTTPServer()
		}()
		_ = router.Run(context.Background())
		return
	}
	count := int64(must(strconv.Atoi(os.Args[5])))
	subscriber := must(redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: client, Unmarshaller: plain{}, ConsumerGroup: "relay", OldestId: "0"}, logger))
	var done atomic.Int64
	finished := make(chan struct{})
	router.AddHandler("relay", os.Args[3], subscriber, os.Args[4], publisher, func(m *message.Message) ([]*message.Message, error) {
		if done.Add(1) == count {
			close(finished)
		}
		return pass(m)
	})
	begin, used := time.Now(), cpu()
	go func() { _ = router.Run(context.Background()) }()
	<-finished
	seconds := time.Since(begin).Seconds()
	fmt.Printf("{\"messages\": %d, \"seconds\": %.4f, \"rate\": %.0f, \"cpu_us\": %.3f}\n", count, seconds,
		float64(count)/seconds, (cpu()-used)/float64(count))
}
