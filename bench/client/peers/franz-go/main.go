// franz-go as a contender of the client benchmark.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type flags map[string]string

func (f flags) number(name string) int {
	value, err := strconv.Atoi(f[name])
	if err != nil {
		fail(fmt.Errorf("--%s must be a number", name))
	}
	return value
}

// outcome is the result line; see contender/src/lib.rs for what its fields mean.
type outcome struct {
	records, errors int64
	seconds, cpu    float64
	firstMs         float64
	firstRss        int64
	bytes           int64
	timestamps      int64
	latencies       []int
}

func (o *outcome) print() {
	line := fmt.Sprintf(`"records":%d,"errors":%d,"seconds":%f,"cpu_seconds":%f,"first_record_ms":%f,"first_record_rss_bytes":%d,"peak_rss_bytes":%d,"bytes":%d,"timestamps":%d`,
		o.records, o.errors, o.seconds, o.cpu, o.firstMs, o.firstRss, memoryBytes("VmHWM:"), o.bytes, o.timestamps)
	if count := len(o.latencies); count > 0 {
		slices.Sort(o.latencies)
		at := func(part float64) int { return o.latencies[min(int(float64(count)*part), count-1)] }
		line += fmt.Sprintf(`,"p50_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d`, at(0.5), at(0.99), at(0.999), o.latencies[count-1])
	}
	fmt.Printf("{%s}\n", line)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func must(err error) {
	if err != nil {
		fail(err)
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func memoryBytes(name string) int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, name); found {
			kilobytes, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kilobytes * 1024
		}
	}
	return 0
}

func (f flags) sinceStartMs() float64 {
	started, _ := strconv.ParseInt(f["started-ns"], 10, 64)
	return float64(time.Now().UnixNano()-started) / 1e6
}

func (f flags) first(o *outcome) { o.firstMs, o.firstRss = f.sinceStartMs(), memoryBytes("VmRSS:") }

func consume(f flags) *outcome {
	options := []kgo.Opt{kgo.SeedBrokers(strings.Split(f["bootstrap"], ",")...)}
	if group := f["group"]; group != "" {
		options = append(options, kgo.ConsumerGroup(group), kgo.ConsumeTopics(f["topic"]), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	} else {
		partitions := map[int32]kgo.Offset{}
		for partition := range f.number("partitions") {
			partitions[int32(partition)] = kgo.NewOffset().AtStart()
		}
		options = append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f["topic"]: partitions}))
	}
	client, err := kgo.NewClient(options...)
	must(err)
	o, wanted := &outcome{}, int64(f.number("records"))
	started, cpu := time.Now(), cpuSeconds()
	for o.records < wanted {
		fetches := client.PollFetches(context.Background())
		fetches.EachError(func(_ string, _ int32, err error) { fail(err) })
		fetches.EachPartition(func(fetched kgo.FetchTopicPartition) {
			if o.records == 0 && len(fetched.Records) > 0 {
				f.first(o)
			}
			for _, record := range fetched.Records {
				o.bytes += int64(len(record.Key) + len(record.Value))
				o.timestamps += record.Timestamp.UnixMilli()
			}
			o.records += int64(len(fetched.Records))
		})
	}
	o.seconds, o.cpu = time.Since(started).Seconds(), cpuSeconds()-cpu
	return o
}

type sender struct {
	client     *kgo.Client
	topic      string
	partitions int
	keyed      bool
	payload    []byte
	valueBytes int
}

func newSender(f flags) *sender {
	payload, err := os.ReadFile(f["payload"])
	must(err)
	keyed := f["keyed"] == "true"
	partitioner := kgo.ManualPartitioner()
	if keyed {
		partitioner = kgo.StickyKeyPartitioner(nil)
	}
	codec := kgo.NoCompression()
	switch f["codec"] {
	case "lz4":
		codec = kgo.Lz4Compression()
	case "zstd":
		codec = kgo.ZstdCompression().WithLevel(1)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(f["bootstrap"], ",")...), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(time.Duration(f.number("linger-ms"))*time.Millisecond), kgo.MaxBufferedRecords(500_000),
		kgo.RecordPartitioner(partitioner), kgo.ProducerBatchCompression(codec))
	must(err)
	return &sender{client, f["topic"], f.number("partitions"), keyed, payload, f.number("value-bytes")}
}

func (s *sender) record(index int) *kgo.Record {
	position := index % (len(s.payload) / s.valueBytes) * s.valueBytes
	end := position + s.valueBytes
	record := &kgo.Record{Topic: s.topic, Value: s.payload[position:end:end]}
	if !s.keyed {
		record.Partition = int32(index % s.partitions)
		return record
	}
	record.Key = []byte("k0000000")
	for digits, place := index%100_000, 7; place > 0; digits, place = digits/10, place-1 {
		record.Key[place] = byte('0' + digits%10)
	}
	return record
}

func (s *sender) oneByOne(o *outcome, records int) {
	for index := range records {
		sent := time.Now()
		must(s.client.ProduceSync(context.Background(), s.record(index)).FirstErr())
		o.latencies = append(o.latencies, int(time.Since(sent).Microseconds()))
	}
	o.records = int64(records)
}

func (s *sender) openLoop(o *outcome, rate, seconds int) {
	total := rate * seconds
	o.latencies = make([]int, 0, total)
	var lock sync.Mutex
	started := time.Now()
	for sent := 0; sent < total; time.Sleep(time.Millisecond) {
		elapsed := int(time.Since(started).Microseconds())
		for ; sent < total && sent*1_000_000/rate <= elapsed; sent++ {
			due := sent * 1_000_000 / rate
			s.client.Produce(context.Background(), s.record(sent), func(_ *kgo.Record, err error) {
				must(err)
				late := int(time.Since(started).Microseconds()) - due
				lock.Lock()
				o.latencies = append(o.latencies, late)
				lock.Unlock()
			})
		}
	}
	must(s.client.Flush(context.Background()))
	o.records = int64(total)
}

func (s *sender) all(o *outcome, records int) {
	var acked, errors atomic.Int64
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			errors.Add(1)
			return
		}
		acked.Add(1)
	}
	for index := range records {
		s.client.Produce(context.Background(), s.record(index), done)
	}
	must(s.client.Flush(context.Background()))
	o.records, o.errors = acked.Load(), errors.Load()
}

func produce(workload string, f flags) *outcome {
	s, o := newSender(f), &outcome{}
	if f["warm-up"] == "true" {
		must(s.client.ProduceSync(context.Background(), s.record(0)).FirstErr())
	}
	started, cpu := time.Now(), cpuSeconds()
	switch workload {
	case "latency":
		s.oneByOne(o, f.number("records"))
	case "open-loop":
		s.openLoop(o, f.number("rate"), f.number("seconds"))
	default:
		s.all(o, f.number("records"))
		f.first(o)
	}
	o.seconds, o.cpu = time.Since(started).Seconds(), cpuSeconds()-cpu
	return o
}

func main() {
	f := flags{}
	for position := 2; position+1 < len(os.Args); position += 2 {
		f[strings.TrimPrefix(os.Args[position], "--")] = os.Args[position+1]
	}
	if os.Args[1] == "consume" {
		consume(f).print()
	} else {
		produce(os.Args[1], f).print()
	}
}
