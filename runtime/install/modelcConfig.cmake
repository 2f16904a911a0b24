# modelcConfig.cmake -- find_package(modelc) gives
#
#   add_mdl_library(NAME MODEL FILE.mdl [SHARED | STATIC] [DEFINES NAME=VALUE...] [ENTRIES NAME...] [LOAD FILE.safetensors]
#                   [TARGET x86-64-v3] [OPTIONS -O0 --budget=...])
#
# a library target NAME that other targets link: its header is NAME.h, its functions begin with NAME_. It is made again when the model,
# what it imports or the weights that it loads change (CMake 3.21 for Makefiles, any for Ninja).
# MODELC_EXECUTABLE and MDLRUN_EXECUTABLE are the two commands.

if(POLICY CMP0116)
    cmake_policy(SET CMP0116 NEW) # paths of depfiles are made Ninja's
endif()
get_filename_component(MODELC_PREFIX "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(MODELC_EXECUTABLE "${MODELC_PREFIX}/bin/modelc" CACHE FILEPATH "the compiler modelc")
set(MDLRUN_EXECUTABLE "${MODELC_PREFIX}/bin/mdlrun" CACHE FILEPATH "the command mdlrun")

function(add_mdl_library name)
    cmake_parse_arguments(MDL "SHARED;STATIC" "MODEL;LOAD;TARGET" "DEFINES;ENTRIES;OPTIONS" ${ARGN})
    if(MDL_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "add_mdl_library(${name}): unknown words: ${MDL_UNPARSED_ARGUMENTS}")
    endif()
    if(NOT MDL_MODEL)
        message(FATAL_ERROR "add_mdl_library(${name}): MODEL FILE.mdl is missing")
    endif()
    if(MDL_SHARED AND MDL_STATIC)
        message(FATAL_ERROR "add_mdl_library(${name}): SHARED or STATIC, not both")
    endif()
    get_filename_component(model "${MDL_MODEL}" ABSOLUTE)
    set(folder "${CMAKE_CURRENT_BINARY_DIR}/${name}.mdl.dir")
    file(MAKE_DIRECTORY "${folder}")
    if(MDL_SHARED)
        set(kind SHARED)
        set(library "${folder}/lib${name}.so") # as -lNAME finds it: the library has no soname
    else()
        set(kind STATIC)
        set(library "${folder}/lib${name}.a")
    endif()
    set(options --name=${name})
    foreach(define IN LISTS MDL_DEFINES)
        list(APPEND options -D "${define}")
    endforeach()
    if(MDL_ENTRIES)
        string(REPLACE ";" "," entries "${MDL_ENTRIES}")
        list(APPEND options "--entries=${entries}")
    endif()
    if(MDL_LOAD)
        get_filename_component(load "${MDL_LOAD}" ABSOLUTE)
        list(APPEND options "--load=${load}")
    endif()
    if(MDL_TARGET)
        list(APPEND options "--target=${MDL_TARGET}")
    endif()
    set(depfile)
    if(CMAKE_GENERATOR MATCHES "Ninja" OR NOT CMAKE_VERSION VERSION_LESS 3.21)
        set(depfile DEPFILE "${folder}/${name}.d")
    endif()
    add_custom_command(
        OUTPUT "${library}" BYPRODUCTS "${folder}/${name}.h"
        COMMAND "${MODELC_EXECUTABLE}" "${model}" -o "${library}" -MD -MF "${folder}/${name}.d" ${options} ${MDL_OPTIONS}
        COMMAND "${CMAKE_COMMAND}" -E rename "${folder}/lib${name}.h" "${folder}/${name}.h"
        DEPENDS "${model}" ${load} "${MODELC_EXECUTABLE}" ${depfile}
        COMMENT "Compiling the model ${name}" VERBATIM)
    add_custom_target(${name}_mdl DEPENDS "${library}")
    add_library(${name} ${kind} IMPORTED GLOBAL)
    set_target_properties(${name} PROPERTIES IMPORTED_LOCATION "${library}" INTERFACE_INCLUDE_DIRECTORIES "${folder}")
    if(kind STREQUAL SHARED)
        set_target_properties(${name} PROPERTIES IMPORTED_NO_SONAME TRUE)
    endif()
    add_dependencies(${name} ${name}_mdl)
endfunction()
