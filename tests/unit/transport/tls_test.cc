// Who is let in, and what is said to whoever is not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/support/pki.h"
#include "tests/support/program.h"
#include "transport/tls/channel.h"
#include "transport/wire/client_hello.h"

namespace p11ha::transport {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using tests::Pki;

TlsFiles filesOf(const std::string& name, const std::string& authority = "ca") {
  const Pki& pki = Pki::theOne();
  return {pki.path(authority + ".pem"), pki.path(name + ".pem"), pki.path(name + ".key")};
}

TlsContext contextOf(TlsSide side, const std::string& name, const std::string& authority = "ca") {
  auto made = makeTlsContext(side, filesOf(name, authority), OwnDates::Unchecked);
  EXPECT_TRUE(made.ok());
  return std::move(*made);
}

// Two sides that hand each other what they have to say.
class Handshake {
 public:
  Handshake(SSL_CTX& client, SSL_CTX& server, const std::string& host)
      : client_(TlsChannel::client(client, host, alpnOf({}))), server_(TlsChannel::server(server)) {}

  void run() {
    for (int i = 0; i < 10; ++i) {
      step(client_, clientStatus);
      carry(client_, toServer_, server_);
      step(server_, serverStatus);
      carry(server_, toClient_, client_);
    }
  }

  TlsChannel::Status clientStatus{};
  TlsChannel::Status serverStatus{};
  TlsChannel& client() { return client_; }
  TlsChannel& server() { return server_; }

  static void carry(TlsChannel& from, std::vector<std::uint8_t>& held, TlsChannel& to) {
    const auto bytes = from.outgoing().bytes();
    if (bytes.empty()) return;
    held.assign(bytes.begin(), bytes.end());
    from.outgoing().clear();
    to.feed(held);
  }

 private:
  // A client learns what the server makes of its certificate after its own handshake is done.
  static void step(TlsChannel& channel, TlsChannel::Status& status) {
    if (status == TlsChannel::Status::Failed) return;
    status = channel.handshake();
    if (status != TlsChannel::Status::Good) return;
    std::uint8_t byte = 0;
    std::size_t got = 0;
    if (channel.read({&byte, 1}, got) == TlsChannel::Status::Failed) status = TlsChannel::Status::Failed;
  }

  TlsChannel client_;
  TlsChannel server_;
  std::vector<std::uint8_t> toServer_;
  std::vector<std::uint8_t> toClient_;
};

struct Sides {
  std::string client;
  std::string server;
};

// What each side says of a handshake that fails.
Sides refusal(SSL_CTX& client, SSL_CTX& server, const std::string& host = "localhost") {
  Handshake handshake(client, server, host);
  handshake.run();
  EXPECT_TRUE(handshake.clientStatus == TlsChannel::Status::Failed ||
              handshake.serverStatus == TlsChannel::Status::Failed);
  return {handshake.client().error(), handshake.server().error()};
}

TEST(Tls, GoodCertificatesAreTakenByNameAndByAddress) {
  const TlsContext client = contextOf(TlsSide::Client, "alice");
  const TlsContext server = contextOf(TlsSide::Server, "server");
  for (const std::string host : {"localhost", "127.0.0.1", "::1"}) {
    Handshake handshake(*client, *server, host);
    handshake.run();
    EXPECT_EQ(handshake.clientStatus, TlsChannel::Status::Good) << handshake.client().error();
    EXPECT_EQ(handshake.serverStatus, TlsChannel::Status::Good) << handshake.server().error();
    EXPECT_EQ(handshake.server().peerName(), "alice");
    EXPECT_EQ(handshake.server().peerFingerprint().size(), 64U);
    EXPECT_EQ(handshake.client().peerName(), "server");
  }
}

TEST(Tls, WhatIsWrittenIsRead) {
  const TlsContext clientContext = contextOf(TlsSide::Client, "alice");
  const TlsContext serverContext = contextOf(TlsSide::Server, "server");
  Handshake handshake(*clientContext, *serverContext, "localhost");
  handshake.run();
  std::vector<std::uint8_t> sent(100'000);
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<std::uint8_t>(i * 7);
  ASSERT_EQ(handshake.client().write(sent), TlsChannel::Status::Good);
  std::vector<std::uint8_t> wire;
  Handshake::carry(handshake.client(), wire, handshake.server());
  std::vector<std::uint8_t> read(sent.size() + 1);
  std::size_t got = 0;
  EXPECT_EQ(handshake.server().read(read, got), TlsChannel::Status::Good);
  read.resize(got);
  EXPECT_EQ(read, sent);
  EXPECT_TRUE(handshake.server().drained());
  handshake.client().end();
  Handshake::carry(handshake.client(), wire, handshake.server());
  EXPECT_EQ(handshake.server().read(read, got), TlsChannel::Status::Closed);
}

// What another user of OpenSSL has left in this thread's queue is not the connection's.
TEST(Tls, SomebodyElsesErrorIsNotItsOwn) {
  const TlsContext clientContext = contextOf(TlsSide::Client, "alice");
  const TlsContext serverContext = contextOf(TlsSide::Server, "server");
  Handshake handshake(*clientContext, *serverContext, "localhost");
  handshake.run();
  const std::vector<std::uint8_t> sent(5000, 7);
  ASSERT_EQ(handshake.client().write(sent), TlsChannel::Status::Good);
  const auto sealed = handshake.client().outgoing().bytes();
  ERR_raise(ERR_LIB_RSA, RSA_R_ALGORITHM_MISMATCH);
  std::vector<std::uint8_t> read(sent.size());
  std::size_t got = 0;
  handshake.server().feed(sealed.first(sealed.size() / 2));
  EXPECT_EQ(handshake.server().read(read, got), TlsChannel::Status::WantInput);
  handshake.server().feed(sealed.subspan(sealed.size() / 2));
  EXPECT_EQ(handshake.server().read(read, got), TlsChannel::Status::Good);
  EXPECT_EQ(got, sent.size());
  EXPECT_EQ(ERR_GET_REASON(ERR_get_error()), RSA_R_ALGORITHM_MISMATCH) << "and is left where it was";
}

TEST(Tls, AByteThatWasChangedIsNoticed) {
  const TlsContext clientContext = contextOf(TlsSide::Client, "alice");
  const TlsContext serverContext = contextOf(TlsSide::Server, "server");
  Handshake handshake(*clientContext, *serverContext, "localhost");
  handshake.run();
  const std::vector<std::uint8_t> sent(100, 1);
  ASSERT_EQ(handshake.client().write(sent), TlsChannel::Status::Good);
  const auto bytes = handshake.client().outgoing().bytes();
  std::vector<std::uint8_t> wire(bytes.begin(), bytes.end());
  wire[50] ^= 1;
  handshake.server().feed(wire);
  std::vector<std::uint8_t> read(200);
  std::size_t got = 0;
  EXPECT_EQ(handshake.server().read(read, got), TlsChannel::Status::Failed);
  EXPECT_EQ(got, 0U);
  EXPECT_EQ(handshake.server().error(), "decryption failed or bad record mac");
}

TEST(Tls, AnExpiredServerIsRefused) {
  const TlsContext client = contextOf(TlsSide::Client, "alice");
  const TlsContext server = contextOf(TlsSide::Server, "oldserver");
  const Sides said = refusal(*client, *server);
  EXPECT_EQ(said.client, "its certificate: certificate has expired");
  EXPECT_EQ(said.server, "it refuses: certificate expired");
}

TEST(Tls, AnExpiredClientIsRefused) {
  const TlsContext client = contextOf(TlsSide::Client, "expired");
  const TlsContext server = contextOf(TlsSide::Server, "server");
  const Sides said = refusal(*client, *server);
  EXPECT_EQ(said.client, "it refuses: certificate expired");
  EXPECT_EQ(said.server, "its certificate: certificate has expired");
}

TEST(Tls, AServerOfAnotherAuthorityIsRefused) {
  const TlsContext client = contextOf(TlsSide::Client, "alice");
  const TlsContext server = contextOf(TlsSide::Server, "otherserver");
  const Sides said = refusal(*client, *server);
  EXPECT_THAT(said.client, StartsWith("its certificate: unable to get local issuer certificate"));
  EXPECT_EQ(said.server, "it refuses: unknown CA");
}

TEST(Tls, AClientOfAnotherAuthorityIsRefused) {
  const TlsContext client = contextOf(TlsSide::Client, "mallory");
  const TlsContext server = contextOf(TlsSide::Server, "server");
  const Sides said = refusal(*client, *server);
  EXPECT_EQ(said.client, "it refuses: unknown CA");
  EXPECT_THAT(said.server, StartsWith("its certificate: unable to get local issuer certificate"));
}

TEST(Tls, AServerOfAnotherNameIsRefused) {
  const TlsContext client = contextOf(TlsSide::Client, "alice");
  const TlsContext server = contextOf(TlsSide::Server, "server");
  EXPECT_EQ(refusal(*client, *server, "hsm.example").client, "its certificate: hostname mismatch");
  EXPECT_EQ(refusal(*client, *server, "127.0.0.2").client, "its certificate: IP address mismatch");
}

TEST(Tls, AClientsCertificateIsNoServers) {
  const TlsContext client = contextOf(TlsSide::Client, "alice");
  const TlsContext server = contextOf(TlsSide::Server, "bob");
  EXPECT_THAT(refusal(*client, *server).client, HasSubstr("unsuitable certificate purpose"));
}

TEST(Tls, AClientWithoutACertificateIsRefused) {
  const TlsContext client(SSL_CTX_new(TLS_client_method()));
  ASSERT_EQ(SSL_CTX_load_verify_file(client.get(), Pki::theOne().path("ca.pem").c_str()), 1);
  const TlsContext server = contextOf(TlsSide::Server, "server");
  const Sides said = refusal(*client, *server);
  EXPECT_EQ(said.client, "it refuses: certificate required");
  EXPECT_EQ(said.server, "peer did not return a certificate");
}

TEST(Tls, OlderVersionsAreRefusedBothWays) {
  const TlsContext client = contextOf(TlsSide::Client, "alice");
  const TlsContext server = contextOf(TlsSide::Server, "server");
  const TlsContext oldClient = contextOf(TlsSide::Client, "alice");
  SSL_CTX_set_min_proto_version(oldClient.get(), TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(oldClient.get(), TLS1_2_VERSION);
  const TlsContext oldServer = contextOf(TlsSide::Server, "server");
  SSL_CTX_set_min_proto_version(oldServer.get(), TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(oldServer.get(), TLS1_2_VERSION);
  EXPECT_EQ(refusal(*oldClient, *server).server, "unsupported protocol");
  EXPECT_THAT(refusal(*client, *oldServer).client, HasSubstr("protocol version"));
}

TEST(Tls, PlainTextIsNoTls) {
  const TlsContext context = contextOf(TlsSide::Client, "alice");
  TlsChannel client = TlsChannel::client(*context, "localhost", alpnOf({}));
  EXPECT_EQ(client.handshake(), TlsChannel::Status::WantInput);
  const std::string text = "HTTP/1.1 400 Bad Request\r\n\r\n";
  client.feed({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  EXPECT_EQ(client.handshake(), TlsChannel::Status::Failed);
  EXPECT_EQ(client.error(), "it does not speak TLS");
}

std::string problemOf(TlsSide side, const TlsFiles& files) {
  const auto made = makeTlsContext(side, files);
  return made ? std::string() : made.error();
}

TEST(TlsFiles, AreNamedWhereTheyAreWrong) {
  const TlsFiles good = filesOf("alice");
  EXPECT_EQ(problemOf(TlsSide::Client, good), "");
  TlsFiles files = good;
  files.authorities = "/nowhere/ca.pem";
  EXPECT_EQ(problemOf(TlsSide::Client, files), "/nowhere/ca.pem: No such file or directory");
  files = good;
  files.certificate = good.privateKey;
  EXPECT_EQ(problemOf(TlsSide::Client, files), good.privateKey + ": no start line");
  files = good;
  files.privateKey = filesOf("bob").privateKey;
  EXPECT_EQ(problemOf(TlsSide::Client, files), files.privateKey + ": key values mismatch");
  files = filesOf("expired");
  EXPECT_EQ(problemOf(TlsSide::Client, files), files.certificate + ": the certificate has expired");
}

// Nor does anybody wait for a password, or for whoever writes into a pipe.
TEST(TlsFiles, NobodyIsAskedForAPassword) {
  TlsFiles files = filesOf("alice");
  const std::string plain = files.privateKey;
  files.privateKey = Pki::theOne().path("secret.key");
  for (const char* const format : {"pkey", "ec"}) {
    const auto made = tests::runCommandLine(std::string("openssl ") + format + " -in " + plain +
                                            " -aes128 -passout pass:x -out " + files.privateKey + " 2>&1");
    ASSERT_EQ(made.status, 0) << made.text;
    EXPECT_EQ(problemOf(TlsSide::Client, files),
              files.privateKey + ": is encrypted: a key without a password is needed")
        << format;
  }
  std::filesystem::remove(files.privateKey);
  ASSERT_EQ(mkfifo(files.privateKey.c_str(), 0600), 0);
  EXPECT_EQ(problemOf(TlsSide::Client, files), files.privateKey + ": not a regular file");
}

TEST(TlsFiles, AKeyIsNotForEverybody) {
  const std::string path = Pki::theOne().path("open.key");
  std::filesystem::copy_file(filesOf("alice").privateKey, path, std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(problemOfKeyFile(path), std::nullopt);
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  EXPECT_EQ(problemOfKeyFile(path), path + ": others than its owner and its group may use it");
  EXPECT_EQ(problemOfKeyFile("/nowhere"), "/nowhere: No such file or directory");
}

}  // namespace
}  // namespace p11ha::transport
