// lld.cpp -- lld has a C++ interface only; this is all of the compiler that is C++.
#include "codegen/lld.h"

#include "lld/Common/Driver.h"
#include "llvm/Support/raw_ostream.h"

#include <cerrno>
#include <cstdio>
#include <string>

LLD_HAS_DRIVER(elf)
LLD_HAS_DRIVER(wasm)

extern "C" int lld_run(int n, const char **arguments, char *messages, size_t size) {
    std::string text;
    llvm::raw_string_ostream stream(text);
    lld::Result result =
        lld::lldMain(llvm::ArrayRef<const char *>(arguments, n), stream, stream, {{lld::Gnu, &lld::elf::link}, {lld::Wasm, &lld::wasm::link}});
    if (llvm::outs().has_error()) { // the file behind standard output could not be written: not lld's fault, and no reason to
                                    // abort at exit
        errno = llvm::outs().error().value();
        llvm::outs().clear_error();
        return LLD_REFUSED;
    }
    std::snprintf(messages, size, "%s", stream.str().c_str());
    return result.retCode || result.canRunAgain ? result.retCode : -1;
}
