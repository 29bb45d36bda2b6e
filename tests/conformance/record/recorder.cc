#include "tests/conformance/record/recorder.h"

#include <unistd.h>

#include <stdexcept>

#include "cryptoki/return_codes.h"

namespace p11ha::conformance {

Recorder::Recorder(const Module& module, int out, std::set<Place> leftOut)
    : module_(module), out_(out), leftOut_(std::move(leftOut)) {}

void Recorder::section(const std::string& name) {
  section_ = name;
  number_ = 0;
}

CK_RV Recorder::call(const cryptoki::Call& call, const Note& note) {
  ++number_;
  Entry entry;
  entry.section = section_;
  entry.number = number_;
  entry.function = cryptoki::function(call.fn).name;
  entry.state = tracker_.state(call);
  entry.standing = tracker_.standing(call);
  entry.situation = note.situation;
  write(callLine(entry));
  if (leftOut_.contains({section_, number_})) {
    entry.rv = kLeftOut;
    write(answerLine(entry));
    return CKR_FUNCTION_CANCELED;
  }
  Normaliser normaliser(call, note, names_, slot_);
  const CK_RV rv = module_.call(call);
  entry.rv = cryptoki::returnCodeName(rv);
  entry.outputs = normaliser.outputs(rv);
  tracker_.answered(call, rv);
  write(answerLine(entry));
  return rv;
}

void Recorder::write(const std::string& line) const {
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t n = ::write(out_, line.data() + done, line.size() - done);
    if (n <= 0) throw std::runtime_error("the transcript cannot be written");
    done += static_cast<std::size_t>(n);
  }
}

}  // namespace p11ha::conformance
