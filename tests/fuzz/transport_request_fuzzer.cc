// Any bytes as a request's payload, at a server: what is taken for calls is executed, answered, and carried once more.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "tests/support/sample_module.h"
#include "transport/codec/answer.h"
#include "transport/codec/request.h"

namespace {

using namespace p11ha::transport;
using p11ha::tests::SampleModule;

constexpr Limits kLimits{.payload = 64UL << 10, .outputs = 64UL << 10};

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

struct Server {
  Arena arena{arenaBound(kLimits)};
  Outputs outputs;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::uint8_t> bytes(data, data + size);
  Reader reader(bytes);
  while (reader.left() != 0) {
    Server server;
    const auto call = decodeRequest(reader, kLimits, server.arena, server.outputs);
    if (!call.ok()) {
      require(!describe(call.error()).empty(), "an error has a text");
      break;
    }

    Buffer again;
    Outputs wanted;
    const CK_RV encoded =
        encodeRequest(*call, {.payload = 2 * kLimits.payload, .outputs = kLimits.outputs}, again, wanted);
    require(encoded == CKR_OK, "what was decoded can be encoded");
    Server second;
    Reader readerAgain({again.data(), again.size()});
    const auto same = decodeRequest(readerAgain, kLimits, second.arena, second.outputs);
    require(same.ok() && readerAgain.finished(), "what was encoded can be decoded");

    SampleModule module(size);
    SampleModule moduleAgain(size);
    const CK_RV rv = module.execute(*call);
    require(moduleAgain.execute(*same) == rv && module.seen() == moduleAgain.seen(), "it is the same call");
    Buffer answer;
    Buffer answerAgain;
    encodeAnswer(rv, server.outputs, answer);
    encodeAnswer(rv, second.outputs, answerAgain);
    require(answer.size() == answerAgain.size() &&
                std::equal(answer.data(), answer.data() + answer.size(), answerAgain.data()),
            "it has the same answer");
    Reader back({answer.data(), answer.size()});
    CK_RV answered = 0;
    require(decodeAnswer(back, wanted, answered) && back.finished() && answered == rv, "the answer is taken");
  }
  return 0;
}
