// Makes the corpora of the transport's fuzz targets: every function and every parameter structure, called and answered;
// each control frame; what OpenSSL says first.
#include <openssl/ssl.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>

#include "tests/support/sample_call.h"
#include "tests/support/sample_module.h"
#include "transport/codec/answer.h"
#include "transport/codec/request.h"
#include "transport/wire/client_hello.h"
#include "transport/wire/greeting.h"

namespace {

namespace fs = std::filesystem;
using namespace p11ha::transport;
using p11ha::cryptoki::Fn;
using p11ha::tests::SampleCall;
using p11ha::tests::SampleModule;
using p11ha::tests::SampleParameter;

class Corpora {
 public:
  explicit Corpora(fs::path where)
      : where_(std::move(where)), requests_(where_ / "transport_request"), answers_(where_ / "transport_answer") {
    for (const char* target : {"request", "answer", "frame", "hello"}) {
      fs::create_directories(where_ / (std::string("transport_") + target));
    }
  }

  /// Each alone, and all in a row.
  void addFrames() {
    Buffer all;
    const auto addFrame = [&](const char* name, auto put) {
      Buffer one;
      put(one);
      all.putBytes(one.data(), one.size());
      write(where_ / "transport_frame" / name, one);
    };
    addFrame("greeting_request", [](Buffer& to) { putGreetingRequest(to, {1, "0123456789abcdef", "an application"}); });
    addFrame("greeting", [](Buffer& to) {
      putGreeting(to, {1, {7}, {{"0123", "one", PartitionState::Active, Authentication::Ped}, {}}, {}, 64, 500});
    });
    addFrame("goodbye", [](Buffer& to) { putGoodbye(to, {Farewell::Limit, "too many"}); });
    addFrame("state", [](Buffer& to) { putStateChange(to, {"0123", PartitionState::Revoked}); });
    addFrame("heartbeat", [](Buffer& to) { putHeartbeat(to, {1234, 5678, {1, 2, 300}}); });
    addFrame("cancel", [](Buffer& to) { putCancel(to, 12); });
    write(where_ / "transport_frame" / "all", all);
  }

  void addHello(const char* name, int version, const std::vector<std::uint8_t>& alpn) {
    SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(context, version);
    if (!alpn.empty()) SSL_CTX_set_alpn_protos(context, alpn.data(), static_cast<unsigned>(alpn.size()));
    SSL* const connection = SSL_new(context);
    BIO* const out = BIO_new(BIO_s_mem());
    SSL_set_bio(connection, BIO_new(BIO_s_mem()), out);
    SSL_connect(connection);
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(out, &bytes);
    Buffer said;
    said.putBytes(bytes, static_cast<std::size_t>(size));
    write(where_ / "transport_hello" / name, said);
    SSL_free(connection);
    SSL_CTX_free(context);
  }

  /// `seed`: of the call, where the answer's target can make it again.
  void add(const std::string& name, const SampleCall& sample, const std::uint8_t* seed) {
    Buffer request;
    if (encodeRequest(sample.call(), {}, request, outputs_) != CKR_OK) return;
    write(requests_ / name, request);
    if (seed == nullptr) return;
    Reader reader({request.data(), request.size()});
    const auto call = decodeRequest(reader, {}, arena_, outputs_);
    Buffer answer;
    answer.put(opcode(sample.call().fn));
    answer.put(*seed);
    encodeAnswer(SampleModule(*seed).execute(*call), outputs_, answer);
    arena_.reset();
    write(answers_ / name, answer);
  }

 private:
  static void write(const fs::path& path, const Buffer& bytes) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }

  const fs::path where_;
  const fs::path requests_;
  const fs::path answers_;
  Arena arena_{arenaBound({})};
  Outputs outputs_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: transport-seeds DIRECTORY\n");
    return 2;
  }
  Corpora corpora(argv[1]);
  for (std::size_t i = 0; i < p11ha::cryptoki::kFunctionCount; ++i) {
    const auto fn = static_cast<Fn>(i);
    for (std::uint8_t seed = 0; seed < 3; ++seed) {
      corpora.add(std::string(p11ha::cryptoki::function(fn).name) + "_" + std::to_string(seed), SampleCall(fn, seed),
                  &seed);
    }
  }
  std::set<const p11ha::cryptoki::ParameterShape*> seen;
  for (const SampleParameter& parameter : p11ha::tests::sampleParameters()) {
    if (!seen.insert(parameter.shape).second) continue;
    const Fn fn = parameter.message ? Fn::EncryptMessage : Fn::DigestInit;
    corpora.add(std::string(p11ha::cryptoki::mechanismName(parameter.type)), SampleCall(fn, 0, parameter), nullptr);
  }
  corpora.addFrames();
  corpora.addHello("good", TLS1_3_VERSION, alpnOf({{1, 2, 3}, "0123456789abcdef"}));
  corpora.addHello("list", TLS1_3_VERSION, alpnOf({{1, 2, 3}, ""}));
  corpora.addHello("old", TLS1_2_VERSION, alpnOf({{1, 2, 3}, "0123"}));
  corpora.addHello("other", TLS1_3_VERSION, {2, 'h', '2'});
  corpora.addHello("plain", TLS1_3_VERSION, {});
  return 0;
}
