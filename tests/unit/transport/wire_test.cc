// Frames, control frames and the ClientHello.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "transport/tls/channel.h"
#include "transport/wire/client_hello.h"
#include "transport/wire/greeting.h"

namespace p11ha::transport {
namespace {

void feed(FrameReader& reader, std::span<const std::uint8_t> bytes) {
  const auto room = reader.room();
  ASSERT_GE(room.size(), bytes.size());
  std::copy(bytes.begin(), bytes.end(), room.begin());
  reader.filled(bytes.size());
}

Buffer frameOf(std::size_t size, std::uint32_t request = 1) {
  Buffer bytes;
  putFrame(bytes, request, 5, 2, [&](Buffer& to) { std::fill_n(to.extend(size), size, std::uint8_t{7}); });
  return bytes;
}

TEST(WireFrame, IsWipedOnceItWasRead) {
  const Buffer bytes = frameOf(100);
  FrameReader reader;
  feed(reader, bytes.bytes());
  Frame frame;
  ASSERT_EQ(reader.next(frame), FrameReader::Next::Frame);
  EXPECT_EQ(frame.payload[99], 7);
  reader.wipeTaken();
  EXPECT_EQ(std::count(frame.payload.begin(), frame.payload.end(), 0), 100);
}

TEST(WireFrame, ComesInAnyPieces) {
  Buffer bytes = frameOf(100, 1);
  const Buffer second = frameOf(0, 2);
  bytes.putBytes(second.data(), second.size());
  FrameReader reader;
  Frame frame;
  std::vector<FrameHeader> headers;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    feed(reader, bytes.bytes().subspan(i, 1));
    while (reader.next(frame) == FrameReader::Next::Frame) {
      headers.push_back(frame.header);
      EXPECT_EQ(frame.payload.size(), frame.header.size);
    }
  }
  ASSERT_EQ(headers.size(), 2U);
  EXPECT_EQ(headers[0].size, 100U);
  EXPECT_EQ(headers[0].opcode, 5);
  EXPECT_EQ(headers[0].flags, 2);
  EXPECT_EQ(headers[1].request, 2U);
}

TEST(WireFrame, IsBounded) {
  FrameReader reader(99);
  Frame frame;
  feed(reader, frameOf(100).bytes());
  EXPECT_EQ(reader.next(frame), FrameReader::Next::TooLarge);
  Buffer bent = frameOf(1);
  bent.data()[12] = 1;
  FrameReader other;
  feed(other, bent.bytes());
  EXPECT_EQ(other.next(frame), FrameReader::Next::Malformed);
}

TEST(WireFrame, WhatThrowsLeavesNothing) {
  Buffer bytes = frameOf(3);
  EXPECT_THROW(putFrame(bytes, 1, 1, 0,
                        [](Buffer& to) {
                          to.put<int>(1);
                          throw std::bad_alloc();
                        }),
               std::bad_alloc);
  EXPECT_EQ(bytes.size(), kFrameHeaderSize + 3);
}

std::vector<std::uint8_t> payloadOf(const Buffer& frame) {
  return {frame.data() + kFrameHeaderSize, frame.data() + frame.size()};
}

// Whole it is read, cut anywhere or with a byte more it is not.
template <class Read>
void readsWholeOnly(std::vector<std::uint8_t> payload, Read read) {
  EXPECT_TRUE(read(payload).has_value());
  for (std::size_t size = 0; size < payload.size(); ++size) {
    std::vector<std::uint8_t> cut(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(read(cut).has_value()) << size;
  }
  payload.push_back(0);
  EXPECT_FALSE(read(payload).has_value());
}

TEST(WireControl, IsReadWholeOrNotAtAll) {
  Buffer bytes;
  putGreetingRequest(bytes, {kProtocolVersion, "1001", "app"});
  readsWholeOnly(payloadOf(bytes), [](auto& payload) { return readGreetingRequest(payload); });
  bytes.clear();
  putGreeting(bytes,
              {kProtocolVersion, {1}, {{"1001", "one", PartitionState::Revoked, Authentication::Ped}}, {}, 5, 6});
  readsWholeOnly(payloadOf(bytes), [](auto& payload) { return readGreeting(payload); });
  bytes.clear();
  putGoodbye(bytes, {Farewell::Limit, "why"});
  readsWholeOnly(payloadOf(bytes), [](auto& payload) { return readGoodbye(payload); });
  bytes.clear();
  putStateChange(bytes, {"1001", PartitionState::Deactivated});
  readsWholeOnly(payloadOf(bytes), [](auto& payload) { return readStateChange(payload); });
  bytes.clear();
  putHeartbeat(bytes, {1234, 5678, {1, 2, 3}});
  readsWholeOnly(payloadOf(bytes), [](auto& payload) { return readHeartbeat(payload); });
}

TEST(WireControl, AGreetingOfAnotherVersionHasItsVersion) {
  Buffer bytes;
  putGreetingRequest(bytes, {9, "1001", "app"});
  auto payload = payloadOf(bytes);
  const auto read = readGreetingRequest(payload);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->version, 9);
}

class WireHello : public testing::Test {
 protected:
  /// What OpenSSL says first.
  static std::vector<std::uint8_t> hello(const std::vector<std::uint8_t>& alpn, int most = TLS1_3_VERSION) {
    const std::unique_ptr<SSL_CTX, FreeSsl> context(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_max_proto_version(context.get(), most);
    const std::unique_ptr<SSL, FreeSsl> ssl(SSL_new(context.get()));
    SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl.get());
    if (!alpn.empty()) SSL_set_alpn_protos(ssl.get(), alpn.data(), static_cast<unsigned>(alpn.size()));
    SSL_do_handshake(ssl.get());
    std::vector<std::uint8_t> bytes(16384);
    bytes.resize(static_cast<std::size_t>(BIO_read(SSL_get_wbio(ssl.get()), bytes.data(), 16384)));
    return bytes;
  }
  static ClientHello::Kind kindOf(std::string_view text) {
    return readClientHello({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}).kind;
  }
};

TEST_F(WireHello, NamesApplicationAndPartition) {
  Destination to{{1, 2, 3, 0xfe}, "A1 \xff"};
  const auto read = readClientHello(hello(alpnOf(to)));
  ASSERT_EQ(read.kind, ClientHello::Kind::Good);
  EXPECT_EQ(read.destination.application, to.application);
  EXPECT_EQ(read.destination.serial, to.serial);
  to.serial = "";
  EXPECT_EQ(readClientHello(hello(alpnOf(to))).kind, ClientHello::Kind::Good);
}

TEST_F(WireHello, IsIncompleteUntilItIsThere) {
  const auto bytes = hello(alpnOf({{1}, "1001"}));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_EQ(readClientHello(std::span(bytes).first(size)).kind, ClientHello::Kind::Incomplete) << size;
}

TEST_F(WireHello, TellsWhatIsNoneOfOurs) {
  EXPECT_EQ(readClientHello(hello(alpnOf({{1}, "1001"}), TLS1_2_VERSION)).kind, ClientHello::Kind::OldTls);
  EXPECT_EQ(readClientHello(hello({})).kind, ClientHello::Kind::Other);
  EXPECT_EQ(kindOf("GET / HTTP/1.0\r\n"), ClientHello::Kind::NotTls);
  EXPECT_EQ(kindOf("\n"), ClientHello::Kind::NotTls);
  EXPECT_EQ(kindOf(""), ClientHello::Kind::Incomplete);
  const auto alpn = alpnOf({{1}, "1001"});
  auto part = alpn;
  part.resize(8);  // the protocol alone
  EXPECT_EQ(readClientHello(hello(part)).kind, ClientHello::Kind::Other);
  auto bent = alpn;
  bent[bent.size() - 1] = 'g';  // no hex digit
  EXPECT_EQ(readClientHello(hello(bent)).kind, ClientHello::Kind::Other);
}

TEST_F(WireHello, AnyBytesAreRead) {
  std::mt19937 random(1);
  const auto good = hello(alpnOf({{1}, "1001"}));
  for (int i = 0; i < 20000; ++i) {
    auto bytes = good;
    for (int change = 0; change < 3; ++change) bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
    bytes.resize(random() % (bytes.size() + 1));
    readClientHello(bytes);
  }
  std::vector<std::uint8_t> endless(20000, 22);
  endless[1] = 3;
  EXPECT_NE(readClientHello(endless).kind, ClientHello::Kind::Good);
}

}  // namespace
}  // namespace p11ha::transport
