// Any bytes as an answer, at a client: the first two choose the function that was called, the third what with.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "tests/support/sample_call.h"
#include "transport/codec/answer.h"
#include "transport/codec/request.h"

using namespace p11ha::transport;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::uint8_t> bytes(data, data + size);
  Reader reader(bytes);
  const auto fn = static_cast<p11ha::cryptoki::Fn>(reader.get<std::uint16_t>() % p11ha::cryptoki::kFunctionCount);
  const p11ha::tests::SampleCall sample(fn, reader.get<std::uint8_t>());
  Buffer request;
  Outputs wanted;
  if (encodeRequest(sample.call(), {}, request, wanted) != CKR_OK) return 0;
  const std::string before = sample.memory();
  CK_RV rv = 0;
  if (!decodeAnswer(reader, wanted, rv) && sample.memory() != before) {
    std::fprintf(stderr, "an answer that was refused was written\n");
    std::abort();
  }
  return 0;
}
