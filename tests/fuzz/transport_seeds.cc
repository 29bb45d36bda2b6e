// Makes the corpora of the codec's fuzz targets: every function and every parameter structure, called and answered.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>

#include "tests/support/sample_call.h"
#include "tests/support/sample_module.h"
#include "transport/codec/answer.h"
#include "transport/codec/request.h"

namespace {

namespace fs = std::filesystem;
using namespace p11ha::transport;
using p11ha::cryptoki::Fn;
using p11ha::tests::SampleCall;
using p11ha::tests::SampleModule;
using p11ha::tests::SampleParameter;

class Corpora {
 public:
  explicit Corpora(const fs::path& where)
      : requests_(where / "transport_request"), answers_(where / "transport_answer") {
    fs::create_directories(requests_);
    fs::create_directories(answers_);
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
  return 0;
}
