#include "bench/callgrind_profile.h"

#include <charconv>
#include <map>
#include <string_view>

namespace p11ha::bench {
namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// "(12) name" says what 12 means from now on, "(12)" means it, anything else is the name itself.
class Names {
 public:
  std::string resolve(std::string_view text) {
    const std::size_t close = text.find(')');
    if (!text.starts_with('(') || close == std::string_view::npos) return std::string(text);
    const std::string key(text.substr(0, close + 1));
    if (text.size() > close + 2) names_[key] = std::string(text.substr(close + 2));
    return names_[key];
  }

 private:
  std::map<std::string, std::string> names_;
};

class Reader {
 public:
  explicit Reader(const std::string& module) : module_(module) {}

  void line(std::string_view text) {
    const auto value = [&text](std::string_view key) { return text.substr(key.size()); };
    if (text.starts_with("ob=")) {
      object_ = objects_.resolve(value("ob="));
    } else if (text.starts_with("fn=")) {
      functions_.resolve(value("fn="));
      calledObject_.reset();
    } else if (text.starts_with("cob=")) {
      calledObject_ = objects_.resolve(value("cob="));
    } else if (text.starts_with("cfn=")) {
      called_ = functions_.resolve(value("cfn="));
    } else if (text.starts_with("calls=")) {
      costOfCall_ = true;
    } else if (text.starts_with("totals: ")) {
      total_ = number(value("totals: "));
    } else if (costOfCall_) {
      call(text);
    }
  }

  std::optional<CallgrindCosts> costs() const {
    if (!total_) return std::nullopt;
    return CallgrindCosts{*total_, inModule_};
  }

 private:
  // "<position> <inclusive cost>", the line after calls=.
  void call(std::string_view text) {
    const std::size_t blank = text.find(' ');
    const bool enters = calledObject_.value_or(object_) == module_ && object_ != module_ && called_.starts_with("C_");
    if (enters && blank != std::string_view::npos) inModule_ += number(text.substr(blank + 1)).value_or(0);
    costOfCall_ = false;
    calledObject_.reset();
  }

  const std::string& module_;
  Names objects_;
  Names functions_;
  std::string object_;
  std::optional<std::string> calledObject_;  // the caller's own if not said
  std::string called_;
  bool costOfCall_ = false;
  std::uint64_t inModule_ = 0;
  std::optional<std::uint64_t> total_;
};

}  // namespace

std::optional<CallgrindCosts> readCallgrind(std::istream& file, const std::string& module) {
  Reader reader(module);
  std::string text;
  while (std::getline(file, text)) reader.line(text);
  return reader.costs();
}

}  // namespace p11ha::bench
