// What an appliance does with clients that mean ill, or are broken: each is closed with a line in the log, and all
// others are served on.
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <fstream>
#include <thread>

#include "tests/appliance/appliance.h"
#include "tests/support/program.h"

namespace p11ha::tests {

using cryptoki::Fn;
using cryptoki::makeCall;
using namespace transport;

namespace {

class BadInputTest : public ApplianceTest {
 protected:
  /// Somebody who is served before, during and after.
  void SetUp() override {
    start({.limits = "   HandshakeTime = 2000;\n   MaxUnfinishedHandshakes = 16;\n   MaxInFlight = 64;\n"
                     "   SendTime = 300;\n   MaxConnections = 40;\n"});
    witness_ = greeted("alice");
    ASSERT_TRUE(witness_);
    session_ = open(*witness_);
  }
  void TearDown() override {
    ASSERT_TRUE(witness_);
    EXPECT_EQ(random(*witness_, session_), CKR_OK);
    const auto late = greeted("alice");
    ASSERT_TRUE(late);
    EXPECT_EQ(random(*late, open(*late)), CKR_OK);
  }
  void stillServes() { EXPECT_EQ(random(*witness_, session_), CKR_OK); }

  /// After these bytes, plain, the connection is closed, and the log says why.
  void isClosed(std::span<const std::uint8_t> bytes, const std::string& why) {
    const auto bad = greeted("bob");
    ASSERT_TRUE(bad);
    isClosed(*bad, bytes, why);
  }
  void isClosed(RawClient& bad, std::span<const std::uint8_t> bytes, const std::string& why) {
    const std::size_t before = logged(why);
    bad.sendBytes(bytes);
    EXPECT_TRUE(bad.awaitEnd());
    EXPECT_TRUE(awaitLog(why, before + 1));
    EXPECT_EQ(logged(why), before + 1);
    stillServes();
  }
  static Buffer frame(std::uint16_t code, std::uint32_t request, std::span<const std::uint8_t> payload,
                      std::uint16_t flags = 0) {
    Buffer bytes;
    putFrame(bytes, request, code, flags, [&](Buffer& to) { to.putBytes(payload.data(), payload.size()); });
    return bytes;
  }
  static std::vector<std::uint8_t> encoded(const cryptoki::Call& call) {
    Buffer bytes;
    Outputs outputs;
    EXPECT_EQ(encodeRequest(call, Limits{}, bytes, outputs), CKR_OK);
    return {bytes.data(), bytes.data() + bytes.size()};
  }
  /// openssl s_client, as that version of TLS has it.
  static std::string sClient(std::uint16_t port, const std::string& options) {
    return runCommandLine("echo | timeout 10 openssl s_client -ign_eof -connect 127.0.0.1:" + std::to_string(port) +
                          " " + options + " 2>&1")
        .text;
  }

  std::unique_ptr<RawClient> witness_;
  CK_SESSION_HANDLE session_ = 0;
};

TEST_F(BadInputTest, PlainText) {
  const base::Descriptor bad = connectTo(port);
  EXPECT_GT(send(bad.get(), "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL), 0);
  EXPECT_TRUE(awaitClose(bad.get()));
  EXPECT_TRUE(awaitLog("refused: what it sends is not TLS"));
}

TEST_F(BadInputTest, OldTls) {
  sClient(port, "-tls1_2");
  EXPECT_TRUE(awaitLog("refused: it has no TLS 1.3"));
}

TEST_F(BadInputTest, AnotherProtocolOverTls) {
  sClient(port, "-tls1_3 -alpn http/1.1");
  EXPECT_TRUE(awaitLog("refused: its ClientHello is none of p11ha's"));
}

TEST_F(BadInputTest, NoCertificate) {
  const std::string serial = hex({reinterpret_cast<const std::uint8_t*>(store.serial(0).data()), 16});
  sClient(port, "-tls1_3 -alpn p11ha/1,app-" + std::string(32, '1') + ",part-" + serial);
  EXPECT_TRUE(awaitLog("peer did not return a certificate"));
}

TEST_F(BadInputTest, CertificatesThatAreNotGood) {
  Destination to{{9}, store.serial(0)};
  RawClient expired(port, clientFiles("alice"), to);
  // One's own must be in date before one is asked; a client that does not look is told.
  const auto context = makeTlsContext(TlsSide::Client, clientFiles("expired"));
  ASSERT_FALSE(context);
  EXPECT_NE(context.error().find("has expired"), std::string::npos) << context.error();
  const Pki& pki = Pki::theOne();
  const std::string serial = hex({reinterpret_cast<const std::uint8_t*>(store.serial(0).data()), 16});
  const std::string alpn = " -alpn p11ha/1,app-" + std::string(32, '1') + ",part-" + serial;
  EXPECT_NE(sClient(port, "-cert " + pki.path("expired.pem") + " -key " + pki.path("expired.key") + alpn)
                .find("certificate expired"),
            std::string::npos);
  EXPECT_TRUE(awaitLog("refused: its certificate: certificate has expired"));

  RawClient other(port, {pki.path("ca.pem"), pki.path("mallory.pem"), pki.path("mallory.key")}, to);
  EXPECT_FALSE(other.greet());
  EXPECT_NE(other.error().find("unknown CA"), std::string::npos) << other.error();
  EXPECT_TRUE(awaitLog("refused: its certificate: unable to get local issuer certificate"));

  RawClient trustsOthers(port, {pki.path("other.pem"), pki.path("alice.pem"), pki.path("alice.key")}, to);
  EXPECT_FALSE(trustsOthers.greet());
  EXPECT_NE(trustsOthers.error().find("its certificate: "), std::string::npos) << trustsOthers.error();
}

TEST_F(BadInputTest, NothingAtAll) {
  const base::Descriptor bad = connectTo(port);
  EXPECT_TRUE(awaitClose(bad.get()));
  EXPECT_EQ(logged("refused: it has not begun a handshake in time"), 1U);
}

TEST_F(BadInputTest, AHandshakeThatNeverEnds) {
  auto context = makeTlsContext(TlsSide::Client, clientFiles("alice"));
  ASSERT_TRUE(context);
  auto channel = TlsChannel::client(**context, "localhost", alpnOf({{3}, store.serial(0)}));
  channel.handshake();
  // In two pieces, the first of which tells nothing.
  const base::Descriptor bad = connectTo(port);
  const Buffer& hello = channel.outgoing();
  EXPECT_EQ(send(bad.get(), hello.data(), 50, 0), 50);
  stillServes();
  EXPECT_EQ(send(bad.get(), hello.data() + 50, hello.size() - 50, 0), static_cast<ssize_t>(hello.size() - 50));
  EXPECT_TRUE(awaitClose(bad.get()));
  EXPECT_TRUE(awaitLog("refused: it has not finished the handshake in time"));
}

TEST_F(BadInputTest, AClientThatDoesNotGreet) {
  const auto bad = client("bob");
  ASSERT_TRUE(bad->shakeHands());
  EXPECT_TRUE(bad->awaitEnd());
  EXPECT_TRUE(awaitLog("refused: it does not greet"));
}

// Whose application it says it is, anybody can say; nothing happens to that one's worker, however slow the other is.
TEST_F(BadInputTest, OneDeadlineForAllBeforeTheGreeting) {
  end(SIGTERM);
  start({.limits = "   HandshakeTime = 2000;\n"});
  witness_ = greeted("alice", 0, 5);
  ASSERT_TRUE(witness_);
  session_ = open(*witness_);
  const auto begun = std::chrono::steady_clock::now();
  const auto bad = client("bob", 0, 5);
  std::this_thread::sleep_until(begun + std::chrono::milliseconds(1500));
  ASSERT_TRUE(bad->shakeHands());
  EXPECT_TRUE(bad->awaitEnd());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(3200));
  EXPECT_TRUE(awaitLog("refused: it does not greet"));
  EXPECT_EQ(logged("it is killed"), 0U);
}

TEST_F(BadInputTest, AnEndThatLeavesNobodyWaiting) {
  end(SIGTERM);
  start({.limits = "   HandshakeTime = 20000;\n"});
  // Handed over, it has its deadline later than the one that comes after it.
  auto first = client("bob", 0, 9);
  ASSERT_TRUE(first->shakeHands());
  const base::Descriptor mute = connectTo(port);
  const base::Descriptor plain = connectTo(port);
  EXPECT_EQ(send(plain.get(), "x\n", 2, 0), 2);
  EXPECT_TRUE(awaitClose(plain.get()));
  tell(SIGTERM);
  EXPECT_TRUE(awaitClose(mute.get(), Milliseconds(5000)));
  EXPECT_TRUE(awaitLog("refused: ending"));
  EXPECT_EQ(end(SIGTERM), 0);
  start();
  witness_ = greeted("alice");
  ASSERT_TRUE(witness_);
  session_ = open(*witness_);
}

TEST_F(BadInputTest, GreetingsThatAreWrong) {
  const auto old = client("bob");
  EXPECT_FALSE(old->greet(GreetingRequest{99, store.serial(0), "test"}));
  ASSERT_TRUE(old->goodbye());
  EXPECT_EQ(old->goodbye()->reason, Farewell::Version);
  const auto elsewhere = client("bob");
  EXPECT_FALSE(elsewhere->greet(GreetingRequest{kProtocolVersion, store.serial(1), "test"}));
  ASSERT_TRUE(elsewhere->goodbye());
  EXPECT_EQ(elsewhere->goodbye()->reason, Farewell::Protocol);
  const auto unknown = client("bob", 1);
  EXPECT_FALSE(unknown->greet());
  ASSERT_TRUE(unknown->goodbye());
  EXPECT_EQ(unknown->goodbye()->reason, Farewell::NoPartition);
}

TEST_F(BadInputTest, ManyConnectionsThatNeverShakeHands) {
  const rlimit most{4096, 4096};
  setrlimit(RLIMIT_NOFILE, &most);
  std::vector<base::Descriptor> bad;
  for (int i = 0; i < 1000; ++i) {
    bad.push_back(connectTo(port));
    if (i % 100 == 0) stillServes();
  }
  stillServes();
  for (const base::Descriptor& each : bad) EXPECT_TRUE(awaitClose(each.get()));
  EXPECT_TRUE(await(
      [&] {
        return logged("and this is the oldest") + logged("it has not begun a handshake in time") +
                   logged("connections already") ==
               1000;
      },
      "a line for each"));
}

TEST_F(BadInputTest, ManyHandshakesOfOneApplicationThatNeverEnd) {
  auto context = makeTlsContext(TlsSide::Client, clientFiles("alice"));
  ASSERT_TRUE(context);
  std::vector<base::Descriptor> bad;
  for (int i = 0; i < 100; ++i) {
    auto channel = TlsChannel::client(**context, "localhost", alpnOf({{3}, store.serial(0)}));
    channel.handshake();
    bad.push_back(connectTo(port));
    send(bad.back().get(), channel.outgoing().data(), channel.outgoing().size(), MSG_NOSIGNAL);
  }
  stillServes();
  for (const base::Descriptor& each : bad) EXPECT_TRUE(awaitClose(each.get()));
}

TEST_F(BadInputTest, ManyApplicationsThatDoNotShowWhoTheyAre) {
  end(SIGTERM);
  start({.limits = "   HandshakeTime = 5000;\n"});
  witness_ = greeted("alice");
  ASSERT_TRUE(witness_);
  session_ = open(*witness_);
  auto context = makeTlsContext(TlsSide::Client, clientFiles("alice"));
  ASSERT_TRUE(context);
  std::vector<base::Descriptor> bad;
  for (std::uint8_t i = 0; i < 140; ++i) {
    auto channel = TlsChannel::client(**context, "localhost", alpnOf({{7, i}, store.serial(0)}));
    channel.handshake();
    bad.push_back(connectTo(port));
    send(bad.back().get(), channel.outgoing().data(), channel.outgoing().size(), MSG_NOSIGNAL);
  }
  EXPECT_TRUE(awaitLog("too many applications that have not shown who they are", 12));
  EXPECT_TRUE(awaitClose(bad.front().get()));
}

TEST_F(BadInputTest, MoreConnectionsThanThereMayBe) {
  std::vector<std::unique_ptr<RawClient>> good;
  for (int i = 0; i < 38; ++i) {
    good.push_back(greeted("alice", 0, 7));
    ASSERT_TRUE(good.back());
  }
  // Those who wait count, too: two are there beside these at most.
  const base::Descriptor one = connectTo(port);
  const base::Descriptor two = connectTo(port);
  EXPECT_TRUE(awaitClose(two.get()));
  EXPECT_TRUE(awaitLog("refused: there are 40 connections already"));
  good.clear();
  EXPECT_TRUE(awaitLog("has gone", 38));
}

TEST_F(BadInputTest, FramesThatAreNone) {
  std::array<std::uint8_t, 16> header{};
  const std::uint32_t size = 0x7fffffff;
  std::memcpy(header.data(), &size, 4);
  isClosed(header, "a frame of 2147483647 bytes");
  header = {};
  header[12] = 1;
  isClosed(header, "a malformed frame");
  isClosed(frame(0xFF77, 1, {}).bytes(), "an unknown frame");
  isClosed(frame(200, 1, {}).bytes(), "an unknown function");
  isClosed(frame(opcode(Fn::Sign), 1, {}, 0x80).bytes(), "unknown flags");
}

TEST_F(BadInputTest, CallsThatAreNone) {
  CK_BYTE bytes[8];
  auto call = encoded(makeCall<Fn::GenerateRandom>(CK_SESSION_HANDLE{1}, bytes, CK_ULONG{8}));
  isClosed(frame(opcode(Fn::Sign), 1, call).bytes(), "a call that is not the one its frame names");
  isClosed(frame(opcode(Fn::GenerateRandom), 1, std::span(call).first(call.size() - 1)).bytes(),
           "a call that ends early");
  isClosed(frame(opcode(Fn::GenerateRandom), 1, {}).bytes(), "a call that ends early");
  call.push_back(0);
  isClosed(frame(opcode(Fn::GenerateRandom), 1, call).bytes(), "bytes after a call");
  isClosed(frame(opcode(Fn::Initialize), 1, std::array<std::uint8_t, 2>{}).bytes(), "a function that is not carried");
  // An Init that belongs to another call.
  CK_MECHANISM mechanism{CKM_SHA256, nullptr, 0};
  auto pair = encoded(makeCall<Fn::DigestInit>(CK_SESSION_HANDLE{1}, &mechanism));
  call.pop_back();
  pair.insert(pair.end(), call.begin(), call.end());
  isClosed(frame(opcode(Fn::GenerateRandom), 1, pair, kFlagHasInit).bytes(), "an Init that is not of its call");
}

TEST_F(BadInputTest, ARequestIdInFlight) {
  const auto bad = greeted("bob");
  ASSERT_TRUE(bad);
  // Of its own: the first is at work when the second comes, or at least one of them when the next does.
  const CK_SESSION_HANDLE session = open(*bad);
  ASSERT_EQ(login(*bad, session), CKR_OK) << "else it is refused, which takes no time";
  CK_MECHANISM mechanism{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
  CK_ULONG bits = 4096;
  CK_ATTRIBUTE modulus{CKA_MODULUS_BITS, &bits, sizeof bits};
  CK_OBJECT_HANDLE made[2];
  const auto call = encoded(makeCall<Fn::GenerateKeyPair>(session, &mechanism, &modulus, CK_ULONG{1}, nullptr,
                                                          CK_ULONG{0}, &made[0], &made[1]));
  Buffer same;
  for (int i = 0; i < 5; ++i) {
    const Buffer one = frame(opcode(Fn::GenerateKeyPair), 9, call);
    same.putBytes(one.data(), one.size());
  }
  isClosed(*bad, same.bytes(), "a request id that is in flight already");
}

TEST_F(BadInputTest, MoreRequestsThanThereMayBe) {
  CK_BYTE bytes[8];
  const auto call = encoded(makeCall<Fn::GenerateRandom>(CK_SESSION_HANDLE{1}, bytes, CK_ULONG{8}));
  Buffer many;
  for (std::uint32_t i = 1; i <= 100; ++i) {
    const Buffer one = frame(opcode(Fn::GenerateRandom), i, call);
    many.putBytes(one.data(), one.size());
  }
  isClosed(many.bytes(), "more than 64 requests in flight");
}

TEST_F(BadInputTest, AClientThatNeverReads) {
  const auto bad = greeted("bob");
  ASSERT_TRUE(bad);
  const CK_SESSION_HANDLE session = open(*bad);
  std::vector<CK_BYTE> room(1 << 20);
  const auto call = encoded(makeCall<Fn::GenerateRandom>(session, room.data(), CK_ULONG{room.size()}));
  for (std::uint32_t i = 100; i < 160; ++i) bad->sendFrame(opcode(Fn::GenerateRandom), i, 0, call);
  EXPECT_TRUE(awaitLog("closed: it takes no answers"));
  stillServes();
}

// What it asks for, and does not take, is bounded whatever it sends.
TEST_F(BadInputTest, AClientThatAsksForMuchAtOnce) {
  end(SIGTERM);
  start();
  witness_ = greeted("alice");
  ASSERT_TRUE(witness_);
  session_ = open(*witness_);
  const auto bad = greeted("bob");
  ASSERT_TRUE(bad);
  const CK_SESSION_HANDLE session = open(*bad);
  const pid_t worker = workerOf("bob");
  std::vector<CK_BYTE> room(16UL << 20);
  const auto call = encoded(makeCall<Fn::GenerateRandom>(session, room.data(), CK_ULONG{room.size()}));
  constexpr std::size_t kCalls = 40;
  for (std::uint32_t i = 100; i < 100 + kCalls; ++i) bad->sendFrame(opcode(Fn::GenerateRandom), i, 0, call);
  std::size_t got = 0;
  while (got < kCalls * room.size()) {
    const ssize_t size = recv(bad->socket(), room.data(), room.size(), 0);
    ASSERT_GT(size, 0);
    got += static_cast<std::size_t>(size);
  }
  std::ifstream status("/proc/" + std::to_string(worker) + "/status");
  std::size_t peak = 0;
  for (std::string word; status >> word;) {
    if (word == "VmHWM:") status >> peak;
  }
  EXPECT_GT(peak, 0U);
  EXPECT_LT(peak, 500U << 10) << "KiB";
}

TEST_F(BadInputTest, ACallWithoutAPartition) {
  RawClient list(port, clientFiles("bob"), Destination{{7}, ""});
  ASSERT_TRUE(list.greet());
  CK_INFO info{};
  EXPECT_EQ(list.call(makeCall<Fn::GetInfo>(&info)), CKR_DEVICE_REMOVED);
  EXPECT_TRUE(awaitLog("closed: a call without a partition"));
}

}  // namespace
}  // namespace p11ha::tests
